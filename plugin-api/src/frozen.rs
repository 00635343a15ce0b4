//! The layout of version 1.0, asserted field by field when this crate is compiled.
//!
//! The same offsets stand at the end of the header. A struct that grows in a later minor version
//! gets its new fields and its new size here; a line that is here today never changes otherwise.

use std::mem::offset_of;

use crate::abi::{
    ArrowArray, ArrowArrayStream, ArrowSchema, fb_buf, fb_entry, fb_env_reset, fb_env_spec,
    fb_env_step, fb_env_vt, fb_error, fb_explain_vt, fb_fit_request, fb_frame, fb_host,
    fb_incremental_vt, fb_learner_vt, fb_metric, fb_model_vt, fb_onnx_export_vt, fb_progress,
    fb_quantiles_vt, fb_sink, fb_space, fb_str,
};

macro_rules! frozen {
    ($name:ident is $size:literal: $($field:ident $offset:literal),* $(,)?) => {
        assert!(size_of::<$name>() == $size);
        $(assert!(offset_of!($name, $field) == $offset);)*
    };
}

#[rustfmt::skip]
const _: () = {
    assert!(size_of::<usize>() == 8, "the v1.0 layout is for 64-bit platforms");
    frozen!(fb_str is 16: ptr 0, len 8);
    frozen!(fb_buf is 16: ptr 0, len 8);
    frozen!(fb_error is 1024: size 0, code 4, length 8, reserved 12, message 16);
    frozen!(fb_sink is 24: size 0, reserved 4, ctx 8, write 16);
    frozen!(ArrowSchema is 72:
        format 0, name 8, metadata 16, flags 24, n_children 32, children 40, dictionary 48,
        release 56, private_data 64
    );
    frozen!(ArrowArray is 80:
        length 0, null_count 8, offset 16, n_buffers 24, n_children 32, buffers 40, children 48,
        dictionary 56, release 64, private_data 72
    );
    frozen!(ArrowArrayStream is 40:
        get_schema 0, get_next 8, get_last_error 16, release 24, private_data 32
    );
    frozen!(fb_host is 40:
        size 0, abi_major 4, abi_minor 6, generation 8, ctx 16, log 24, get_extension 32
    );
    frozen!(fb_frame is 112:
        size 0, flags 4, event_ns 8, deadline_ns 16, rows 24, window 32, cols 40, row_stride 48,
        step_stride 56, input 64, output_cols 72, output_stride 80, output 88, row_event_ns 96,
        symbols 104
    );
    frozen!(fb_model_vt is 88:
        size 0, flags 4, create 8, info 16, warmup 24, predict 32, save 40, snapshot 48, restore 56,
        quiesce 64, destroy 72, get_extension 80
    );
    frozen!(fb_space is 64:
        size 0, kind 4, rank 8, elements 16, shape 24, low 32, high 40, counts 48, start 56
    );
    frozen!(fb_env_spec is 80:
        size 0, autoreset 4, n_envs 8, observation 16, action 24, info_names 32, info_count 40,
        reward_low 48, reward_high 56, max_episode_steps 64, flags 72, reserved 76
    );
    frozen!(fb_env_reset is 40:
        size 0, reserved 4, seeds 8, mask 16, observations 24, action_mask 32
    );
    frozen!(fb_env_step is 80:
        size 0, reserved 4, actions 8, discrete_actions 16, observations 24, rewards 32, terminated
        40, truncated 48, final_observations 56, infos 64, action_mask 72
    );
    frozen!(fb_env_vt is 40: size 0, flags 4, describe 8, reset 16, step 24, close 32);
    frozen!(fb_metric is 24: name 0, value 16);
    frozen!(fb_progress is 40: size 0, reserved 4, ctx 8, report 16, cancelled 24, checkpoint 32);
    frozen!(fb_fit_request is 112:
        size 0, flags 4, seed 8, max_threads 16, reserved 20, task_json 24, config_json 40, train
        56, valid 64, env_vt 72, env 80, progress 88, checkpoint 96
    );
    frozen!(fb_learner_vt is 32: size 0, flags 4, describe 8, fit 16, get_extension 24);
    frozen!(fb_explain_vt is 32: size 0, flags 4, kinds 8, importance 16, contributions 24);
    frozen!(fb_incremental_vt is 16: size 0, flags 4, update 8);
    frozen!(fb_quantiles_vt is 16: size 0, flags 4, levels 8);
    frozen!(fb_onnx_export_vt is 16: size 0, flags 4, write_onnx 8);
    frozen!(fb_entry is 72:
        size 0, abi_major 4, abi_minor 6, id 8, version 24, sdk 40, caps 56, get_factory 64
    );
};
