/* fusebox_plugin.h - the contract between Fusebox and a native plugin, version 1.0.
 *
 * This header is the source of truth. A plugin is a shared library that exports ONE symbol,
 * fusebox_plugin_entry_v1, and carries the ELF note of FB_PLUGIN_NOTE.
 *
 * How it lives for years
 *   - Every struct begins with its size as its writer knows it. Structs grow at the end only;
 *     fields are never moved, removed or given another meaning. A reader uses a field only if it
 *     lies inside `size` (FB_HAS), and takes a NULL function as "not offered".
 *   - fb_str, fb_buf, fb_metric and the Arrow structs have no size and never change.
 *   - The major version is in the symbol's name. The minor is informative; what a side can do is
 *     asked for by id: get_factory("fb.model/1"), get_extension("fb.explain/1").
 *     Ids under test end in "/draft-N". An unknown id answers NULL.
 *   - Fields called reserved are written as 0 and not read.
 *
 * Threads
 *   [control]     one thread at a time per instance, never while [infer] runs on that instance
 *   [infer]       one thread at a time per instance; not always the same one
 *   [any-thread]  any thread, also several at once
 *   Two instances share nothing that either could notice.
 *
 * Ownership
 *   - Whoever allocates frees. Arguments are borrowed for the call unless the slot says otherwise;
 *     a callee that wants to keep bytes copies them.
 *   - Tables and the entry live as long as the process: a plugin is never unloaded. The host table
 *     given to the entry lives as long.
 *   - Variable-length answers are written into an fb_sink, in any number of pieces, before the
 *     call returns.
 *   - Arrow streams are moved: the callee takes the struct's contents and sets release to NULL; the
 *     caller releases what is left if the callee did not take it. What was taken may be released
 *     on any thread, and later than the call.
 *   - Pointers inside a lent struct (sink, frame, progress, environment, fit request) end with the
 *     call it was lent to. Calling one of them later, or from another thread, is undefined.
 *
 * Failures
 *   - FB_OK or a negative code; with an error the callee may fill the caller's fb_error.
 *   - No exception, panic or longjmp leaves a function of either side.
 *   - After FB_E_PANIC an instance answers FB_E_STATE to everything but destroy.
 *   - err may be NULL everywhere. A message is one line: control characters become blanks.
 *   - A sink that did not take a piece makes the whole answer fail, whatever the callee returns.
 */
#ifndef FUSEBOX_PLUGIN_H
#define FUSEBOX_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_ABI_MAJOR 1
#define FB_ABI_MINOR 0

/* ---- status ------------------------------------------------------------------------------- */

typedef int32_t fb_status;

#define FB_OK 0
#define FB_E_ARG (-1)          /* an argument is out of range or has the wrong shape */
#define FB_E_STATE (-2)        /* the call is not allowed now */
#define FB_E_UNSUPPORTED (-3)  /* not offered */
#define FB_E_PANIC (-4)        /* the plugin panicked; the instance is dead */
#define FB_E_DEADLINE (-5)     /* the deadline passed */
#define FB_E_MEMORY (-6)       /* memory could not be had */
#define FB_E_INTERNAL (-7)     /* a bug, or nothing else fits; also any unknown code */
#define FB_E_CANCELLED (-8)    /* the host asked to stop */
#define FB_E_CONFIG (-9)       /* the configuration is wrong */
#define FB_E_DATA (-10)        /* the data or the artifact is wrong */
#define FB_E_LIBRARY (-11)     /* a native library is missing or too old */
#define FB_E_SCHEMA (-12)      /* the state schema cannot be read */
#define FB_E_CRASHED (-13)     /* the process that ran the plugin is gone; said by hosts only */

/* ---- small values ------------------------------------------------------------------------- */

/* UTF-8 text, not NUL-terminated. ptr may be NULL where len is 0. */
typedef struct fb_str {
  const char *ptr;
  uint64_t len;
} fb_str;

/* Bytes. ptr may be NULL where len is 0. */
typedef struct fb_buf {
  const uint8_t *ptr;
  uint64_t len;
} fb_buf;

/* A message, in memory of the caller. The callee writes at most size - 16 bytes of UTF-8 including
 * a closing NUL, and length without the NUL. */
typedef struct fb_error {
  uint32_t size;
  fb_status code;
  uint32_t length;
  uint32_t reserved;
  char message[1008];
} fb_error;

/* Where a callee writes an answer. write may be called several times; a code other than FB_OK ends
 * the writing and is returned by the callee. Valid during the call it is given to. */
typedef struct fb_sink {
  uint32_t size;
  uint32_t reserved;
  void *ctx;
  fb_status (*write)(void *ctx, fb_buf bytes);
} fb_sink;

/* ---- Arrow C data and C stream interface (standard definitions) ---------------------------- */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};

#endif /* ARROW_C_STREAM_INTERFACE */

/* Dataset layout 1: a stream of struct arrays without nulls. Fields are found by name, unknown
 * fields are ignored, their order is free:
 *   features      FixedSizeList<float>[F]  the values buffer is the row-major matrix; NaN = missing
 *   labels        FixedSizeList<float>[K]  K >= 1; a class index for classification; NaN = none
 *   weight        float                    weight in the loss, >= 0
 *   event_ns      timestamp[ns, UTC]       close time of the row's bar
 *   label_end_ns  timestamp[ns, UTC]       when the label is known; event_ns where there is none
 *   symbol        uint32                   position in the run's market
 *   segment       uint32                   changes at gaps; a window never crosses a change
 *   role          uint8                    0 context only, 1 sample
 * Metadata of the schema: fusebox.schema = "1"; fusebox.features, fusebox.labels, fusebox.classes =
 * JSON arrays of names (classes is [] where labels are numbers). Rows are in time order per symbol;
 * the rows of one segment are consecutive. */

/* ---- JSON ----------------------------------------------------------------------------------
 *
 * Texts are UTF-8 without a byte order mark. Readers ignore keys they do not know; `?` marks a key
 * that may be absent.
 *
 * TASK, in fb_fit_request.task_json and as "task" of a model. Outputs per row, for each label
 * column in turn, or for the one label that a model learned:
 *   {"kind": "classification", "classes": ["down", "flat", "up"]}  one probability per class, which
 *                                                                  add up to 1
 *   {"kind": "regression"}                                         one number
 *   {"kind": "quantiles", "levels": [0.1, 0.5, 0.9]}               one number per ascending level
 *   {"kind": "policy", "action": SPACE}                            the action, `elements` numbers
 * SPACE: {"kind": "box", "shape": [2], "low": [..] or null, "high": [..] or null},
 *   {"kind": "discrete", "count": 3, "start": 0}, {"kind": "multi_discrete", "counts": [3, 2]}.
 *
 * LEARNER, written by describe:
 *   {"name": "Trees", "doc": "One sentence.", "tasks": ["regression", ...], "input": INPUT,
 *    "params": [PARAM, ...], "needs_environment"?: false, "resumes"?: false}
 * Tasks: binary_classification, multiclass_classification, regression, quantiles, policy.
 * INPUT: {"kind": "row"} or {"kind": "window", "default_steps": 64, "max_steps": 512}.
 * PARAM, a key of config_json; "min" and "max" may be absent. A search varies it where "searched"
 * is true, over "search" or, for words and switches, over all values:
 *   {"name": "rate", "doc": "Step.", "default": 0.1, "type": "float", "min": 0, "max": 1,
 *    "search"?: {"low": 0.01, "high": 0.3, "log": true}, "searched"?: true}
 *   {"name": "rounds", "doc": "Trees.", "default": 500, "type": "integer", "min": 1}
 *   {"name": "bagging", "doc": "Draw rows.", "default": false, "type": "boolean"}
 *   {"name": "loss", "doc": "Loss.", "default": "l2", "type": "choice", "values": ["l1", "l2"]}
 *   {"name": "label", "doc": "Label to learn.", "default": "", "type": "text"}
 *
 * MODEL, written by info; "features" may be [] and "columns" null where a model takes any:
 *   {"task": TASK, "features": ["rsi_14"], "columns": 1, "window": 1, "outputs": ["p_down", ..],
 *    "notes"?: {..}} */

/* ---- host --------------------------------------------------------------------------------- */

#define FB_LOG_ERROR 1
#define FB_LOG_WARN 2
#define FB_LOG_INFO 3
#define FB_LOG_DEBUG 4
#define FB_LOG_TRACE 5

/* What the host lends. Lives as long as the process. */
typedef struct fb_host {
  uint32_t size;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint64_t generation; /* number of this load; differs between reloads */
  void *ctx;
  void (*log)(void *ctx, int32_t level, fb_str message);  /* [any-thread] */
  const void *(*get_extension)(void *ctx, fb_str id);     /* [any-thread] NULL where unknown */
} fb_host;

/* ---- frame -------------------------------------------------------------------------------- */

#define FB_FRAME_REPLAY 1u /* history that rebuilds state; the outputs are thrown away */

/* One prediction request. All memory is the host's and borrowed for the call. Value c of step t of
 * row r is input[r * row_stride + t * step_stride + c]; steps run from the oldest to the newest; a
 * row_stride below window * step_stride makes overlapping windows. Answer c of row r goes to
 * output[r * output_stride + c]; nothing else in output may be touched. Strides count elements. */
typedef struct fb_frame {
  uint32_t size;
  uint32_t flags;
  int64_t event_ns;     /* close time of the newest bar, ns since 1970 UTC; 0 = batch */
  uint64_t deadline_ns; /* when the answer is due, monotonic clock; 0 = never */
  uint64_t rows;
  uint64_t window; /* steps per row, >= 1 */
  uint64_t cols;   /* features per step */
  uint64_t row_stride;
  uint64_t step_stride;
  const float *input;
  uint64_t output_cols;
  uint64_t output_stride;
  float *output;
  const int64_t *row_event_ns; /* one per row, or NULL */
  const uint32_t *symbols;     /* one per row, or NULL */
} fb_frame;

/* ---- model: "fb.model/1" ------------------------------------------------------------------- */

typedef struct fb_instance fb_instance; /* opaque, the plugin's */

#define FB_MODEL_REALTIME 1u /* predict neither allocates, locks, logs nor makes system calls */

typedef struct fb_model_vt {
  uint32_t size;
  uint32_t flags;
  /* [control] Makes an instance; artifact is what save wrote, or empty. On failure *out is left. */
  fb_status (*create)(const fb_host *host, fb_buf config_json, fb_buf artifact, fb_instance **out,
                      fb_error *err);
  /* [control] Writes MODEL; it never changes during the life of the instance. */
  fb_status (*info)(fb_instance *instance, const fb_sink *out, fb_error *err);
  /* [control] Touches what the first predict would have to wait for. Optional. */
  fb_status (*warmup)(fb_instance *instance, fb_error *err);
  /* [infer] Answers every row, in order: with FB_OK each of rows x output_cols values is written
   * and finite. The host refuses anything else. After an error the outputs are undefined. */
  fb_status (*predict)(fb_instance *instance, const fb_frame *frame, fb_error *err);
  /* [control] Writes an artifact that create accepts. Optional: absent means an empty one. */
  fb_status (*save)(fb_instance *instance, const fb_sink *out, fb_error *err);
  /* [control] Writes the state between two rows and its schema number. Optional: no state. */
  fb_status (*snapshot)(fb_instance *instance, const fb_sink *out, uint32_t *schema,
                        fb_error *err);
  /* [control] Takes over a state, or fails and stays as it was. Optional, as snapshot. */
  fb_status (*restore)(fb_instance *instance, fb_buf state, uint32_t schema, fb_error *err);
  /* [control] Joins every thread of the instance; deadline_ns 0 = none. Optional: no threads. */
  fb_status (*quiesce)(fb_instance *instance, uint64_t deadline_ns, fb_error *err);
  /* [control] Frees the instance, which the host uses no more; joins its threads where quiesce was
   * not called. Called once, also after FB_E_PANIC. Never fails. */
  void (*destroy)(fb_instance *instance);
  /* [control] Table of an optional capability of this instance, or NULL. Optional. */
  const void *(*get_extension)(fb_instance *instance, fb_str id);
} fb_model_vt;

/* ---- environment: "fb.env/1", lent by the host ---------------------------------------------- */

#define FB_SPACE_BOX 0u
#define FB_SPACE_DISCRETE 1u
#define FB_SPACE_MULTI_DISCRETE 2u

/* A space as data. BOX: rank and shape; low and high have `elements` values each or are NULL.
 * DISCRETE: counts[0] numbers from start. MULTI_DISCRETE: `elements` choices, the i-th from 0 to
 * counts[i] - 1. */
typedef struct fb_space {
  uint32_t size;
  uint32_t kind;
  uint64_t rank;
  uint64_t elements; /* values per environment */
  const uint64_t *shape;
  const float *low;
  const float *high;
  const int64_t *counts;
  int64_t start;
} fb_space;

#define FB_AUTORESET_SAME_STEP 0u
#define FB_AUTORESET_NEXT_STEP 1u
#define FB_AUTORESET_DISABLED 2u

#define FB_ENV_ACTION_MASK 1u /* the environments fill action masks */

typedef struct fb_env_spec {
  uint32_t size;
  uint32_t autoreset;
  uint64_t n_envs;
  const fb_space *observation;
  const fb_space *action;
  const fb_str *info_names;
  uint64_t info_count;
  double reward_low;          /* -infinity where unknown */
  double reward_high;         /* +infinity where unknown */
  uint64_t max_episode_steps; /* 0 = no limit */
  uint32_t flags;
  uint32_t reserved;
} fb_env_spec;

/* Arrays are environment-major and the caller's. An action mask has one flag per number of a
 * discrete space (the sum of the counts): 1 allowed, 0 not. */
typedef struct fb_env_reset {
  uint32_t size;
  uint32_t reserved;
  const uint64_t *seeds; /* n_envs, or NULL: each goes on with its own sequence */
  const uint8_t *mask;   /* n_envs, 1 = reset; or NULL: all */
  float *observations;   /* out: n_envs x observation elements */
  uint8_t *action_mask;  /* out, or NULL */
} fb_env_reset;

typedef struct fb_env_step {
  uint32_t size;
  uint32_t reserved;
  const float *actions;            /* in, BOX: n_envs x action elements; else NULL */
  const int64_t *discrete_actions; /* in, other spaces: n_envs x action elements; else NULL */
  float *observations;             /* out: n_envs x observation elements */
  float *rewards;                  /* out: n_envs */
  uint8_t *terminated;             /* out: n_envs, 1 = the task ended */
  uint8_t *truncated;              /* out: n_envs, 1 = cut off */
  float *final_observations;       /* out, or NULL: rows of episodes that ended, others untouched */
  double *infos;                   /* out, or NULL: n_envs x info_count */
  uint8_t *action_mask;            /* out, or NULL */
} fb_env_step;

typedef struct fb_env fb_env; /* opaque, the host's */

/* Used by one thread at a time, during the fit it was lent to. */
typedef struct fb_env_vt {
  uint32_t size;
  uint32_t flags;
  const fb_env_spec *(*describe)(fb_env *env); /* the host's, valid as long as env */
  fb_status (*reset)(fb_env *env, const fb_env_reset *reset, fb_error *err);
  fb_status (*step)(fb_env *env, const fb_env_step *step, fb_error *err);
  fb_status (*close)(fb_env *env, fb_error *err); /* ends all episodes; the host frees env itself */
} fb_env_vt;

/* ---- learner: "fb.learner/1" ---------------------------------------------------------------- */

typedef struct fb_metric {
  fb_str name;
  double value;
} fb_metric;

/* Called from the thread that runs fit (or update), during it. */
typedef struct fb_progress {
  uint32_t size;
  uint32_t reserved;
  void *ctx;
  /* FB_E_CANCELLED: stop and return FB_E_CANCELLED. total_steps 0 = unknown. */
  fb_status (*report)(void *ctx, uint64_t step, uint64_t total_steps, const fb_metric *metrics,
                      uint64_t count);
  /* 1 where the host asks to stop, else 0. */
  int32_t (*cancelled)(void *ctx);
  /* Hands out the state after `step`; the host copies it. A later fit may continue from it. */
  fb_status (*checkpoint)(void *ctx, uint64_t step, fb_buf state);
} fb_progress;

typedef struct fb_fit_request {
  uint32_t size;
  uint32_t flags;
  uint64_t seed;
  uint32_t max_threads; /* >= 1 */
  uint32_t reserved;
  fb_buf task_json;
  fb_buf config_json;
  struct ArrowArrayStream *train; /* moved */
  struct ArrowArrayStream *valid; /* moved; NULL where there is none */
  const fb_env_vt *env_vt;        /* NULL where no environment is lent */
  fb_env *env;
  const fb_progress *progress; /* NULL where nobody listens */
  fb_buf checkpoint;           /* empty = from the beginning */
} fb_fit_request;

typedef struct fb_learner_vt {
  uint32_t size;
  uint32_t flags;
  /* [any-thread] Writes LEARNER. */
  fb_status (*describe)(const fb_host *host, const fb_sink *out, fb_error *err);
  /* [any-thread] Learns; blocks. *model is an instance for this plugin's "fb.model/1" table, and
   * is left as it was on failure. A learner of windows makes them from the rows itself: the steps
   * before a sample within its symbol and segment; rows of role 0 lead up to the first samples. */
  fb_status (*fit)(const fb_host *host, const fb_fit_request *request, fb_instance **model,
                   fb_error *err);
  /* [any-thread] Table of an optional capability of the learner, or NULL. Optional. */
  const void *(*get_extension)(fb_str id);
} fb_learner_vt;

/* ---- optional capabilities of a model, by fb_model_vt.get_extension -------------------------- */

/* "fb.explain/1" */
typedef struct fb_explain_vt {
  uint32_t size;
  uint32_t flags;
  /* [control] Writes a JSON array of kinds of importance, such as ["gain", "split"]. */
  fb_status (*kinds)(fb_instance *instance, const fb_sink *out, fb_error *err);
  /* [control] Writes one finite value per feature; count must be the number of features. */
  fb_status (*importance)(fb_instance *instance, fb_str kind, double *out, uint64_t count,
                          fb_error *err);
  /* [infer] SHAP values. output_cols is outputs x (features + 1): per output one contribution per
   * feature and then the expected value; they add up to the raw score. */
  fb_status (*contributions)(fb_instance *instance, const fb_frame *frame, fb_error *err);
} fb_explain_vt;

/* "fb.incremental/1" */
typedef struct fb_incremental_vt {
  uint32_t size;
  uint32_t flags;
  /* [control] Learns from new rows (moved), or fails and stays as it was. progress may be NULL. */
  fb_status (*update)(fb_instance *instance, struct ArrowArrayStream *rows,
                      const fb_progress *progress, fb_error *err);
} fb_incremental_vt;

/* "fb.quantiles/1" */
typedef struct fb_quantiles_vt {
  uint32_t size;
  uint32_t flags;
  /* [control] Writes up to `capacity` levels, ascending between 0 and 1, and into *count how many
   * there are; out may be NULL where capacity is 0. */
  fb_status (*levels)(fb_instance *instance, double *out, uint64_t capacity, uint64_t *count,
                      fb_error *err);
} fb_quantiles_vt;

/* "fb.onnx_export/1" */
typedef struct fb_onnx_export_vt {
  uint32_t size;
  uint32_t flags;
  /* [control] Writes a ModelProto with operators of at most version `opset`. */
  fb_status (*write_onnx)(fb_instance *instance, uint32_t opset, const fb_sink *out, fb_error *err);
} fb_onnx_export_vt;

/* ---- entry --------------------------------------------------------------------------------- */

#define FB_CAP_THREADS 1ull /* may start threads; joined by quiesce, or before fit ends */
#define FB_CAP_GUARDED 2ull /* panics and exceptions are turned into FB_E_PANIC */
#define FB_CAP_GPU 4ull     /* can use a GPU */

typedef struct fb_entry {
  uint32_t size;
  uint16_t abi_major;
  uint16_t abi_minor;
  fb_str id;      /* reverse DNS, such as com.example.ema */
  fb_str version; /* of the plugin, three numbers */
  fb_str sdk;     /* name and version of the tool kit, for people */
  uint64_t caps;
  /* [any-thread] "fb.model/1" -> const fb_model_vt *; "fb.learner/1" -> const fb_learner_vt *;
   * NULL where unknown. */
  const void *(*get_factory)(fb_str id);
} fb_entry;

#if defined(_WIN32)
#define FB_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define FB_EXPORT __attribute__((visibility("default")))
#else
#define FB_EXPORT
#endif

typedef const fb_entry *(*fb_entry_v1_fn)(const fb_host *host);

/* [any-thread] The only exported symbol. Starts no thread, opens no file, returns quickly; NULL
 * where the plugin cannot work with this host. Called at least once per load. */
FB_EXPORT const fb_entry *fusebox_plugin_entry_v1(const fb_host *host);

/* True where the struct that p points to is large enough to hold the field. */
#define FB_HAS(p, type, field) \
  ((size_t)(p)->size >= offsetof(type, field) + sizeof(((const type *)0)->field))

/* ---- note: what a scan reads without running code -------------------------------------------- */

/* An ELF note in section .note.fusebox, owner "Fusebox", type 1. Its text is UTF-8 lines key=value:
 * abi=MAJOR.MINOR, id=..., version=...; unknown keys are ignored. It must agree with plugin.toml
 * and with the entry. Use it once, outside functions, with string literals. */
#define FB_NOTE_TYPE 1
#define FB_NOTE_TEXT(id, version) "abi=1.0\nid=" id "\nversion=" version "\n"
#define FB_PLUGIN_NOTE(id, version)                                                             \
  __attribute__((section(".note.fusebox"), used, aligned(4))) static const struct {             \
    uint32_t name_size, text_size, type;                                                        \
    char name[8];                                                                               \
    char text[(sizeof(FB_NOTE_TEXT(id, version)) + 3) / 4 * 4];                                 \
  } fb_plugin_note = {8, (uint32_t)(sizeof(FB_NOTE_TEXT(id, version)) - 1), FB_NOTE_TYPE,       \
                      "Fusebox", FB_NOTE_TEXT(id, version)}

/* ---- frozen layout of version 1.0 (64-bit platforms) ---------------------------------------- */

#ifdef __cplusplus
#define FB_FROZEN(condition) static_assert(condition, "the v1.0 layout is frozen")
#else
#define FB_FROZEN(condition) _Static_assert(condition, "the v1.0 layout is frozen")
#endif

/* Holds where the field begins at this offset. */
#define FB_AT(type, field, offset) (offsetof(type, field) == (offset))

FB_FROZEN(sizeof(void *) == 8);
FB_FROZEN(sizeof(fb_str) == 16 && FB_AT(fb_str, ptr, 0) && FB_AT(fb_str, len, 8));
FB_FROZEN(sizeof(fb_buf) == 16 && FB_AT(fb_buf, ptr, 0) && FB_AT(fb_buf, len, 8));
FB_FROZEN(sizeof(fb_error) == 1024 && FB_AT(fb_error, size, 0) && FB_AT(fb_error, code, 4) &&
          FB_AT(fb_error, length, 8) && FB_AT(fb_error, reserved, 12) &&
          FB_AT(fb_error, message, 16));
FB_FROZEN(sizeof(fb_sink) == 24 && FB_AT(fb_sink, size, 0) && FB_AT(fb_sink, reserved, 4) &&
          FB_AT(fb_sink, ctx, 8) && FB_AT(fb_sink, write, 16));
FB_FROZEN(sizeof(struct ArrowSchema) == 72 && FB_AT(struct ArrowSchema, format, 0) &&
          FB_AT(struct ArrowSchema, name, 8) && FB_AT(struct ArrowSchema, metadata, 16) &&
          FB_AT(struct ArrowSchema, flags, 24) && FB_AT(struct ArrowSchema, n_children, 32) &&
          FB_AT(struct ArrowSchema, children, 40) && FB_AT(struct ArrowSchema, dictionary, 48) &&
          FB_AT(struct ArrowSchema, release, 56) && FB_AT(struct ArrowSchema, private_data, 64));
FB_FROZEN(sizeof(struct ArrowArray) == 80 && FB_AT(struct ArrowArray, length, 0) &&
          FB_AT(struct ArrowArray, null_count, 8) && FB_AT(struct ArrowArray, offset, 16) &&
          FB_AT(struct ArrowArray, n_buffers, 24) && FB_AT(struct ArrowArray, n_children, 32) &&
          FB_AT(struct ArrowArray, buffers, 40) && FB_AT(struct ArrowArray, children, 48) &&
          FB_AT(struct ArrowArray, dictionary, 56) && FB_AT(struct ArrowArray, release, 64) &&
          FB_AT(struct ArrowArray, private_data, 72));
FB_FROZEN(sizeof(struct ArrowArrayStream) == 40 && FB_AT(struct ArrowArrayStream, get_schema, 0) &&
          FB_AT(struct ArrowArrayStream, get_next, 8) &&
          FB_AT(struct ArrowArrayStream, get_last_error, 16) &&
          FB_AT(struct ArrowArrayStream, release, 24) &&
          FB_AT(struct ArrowArrayStream, private_data, 32));
FB_FROZEN(sizeof(fb_host) == 40 && FB_AT(fb_host, size, 0) && FB_AT(fb_host, abi_major, 4) &&
          FB_AT(fb_host, abi_minor, 6) && FB_AT(fb_host, generation, 8) &&
          FB_AT(fb_host, ctx, 16) && FB_AT(fb_host, log, 24) && FB_AT(fb_host, get_extension, 32));
FB_FROZEN(sizeof(fb_frame) == 112 && FB_AT(fb_frame, size, 0) && FB_AT(fb_frame, flags, 4) &&
          FB_AT(fb_frame, event_ns, 8) && FB_AT(fb_frame, deadline_ns, 16) &&
          FB_AT(fb_frame, rows, 24) && FB_AT(fb_frame, window, 32) && FB_AT(fb_frame, cols, 40) &&
          FB_AT(fb_frame, row_stride, 48) && FB_AT(fb_frame, step_stride, 56) &&
          FB_AT(fb_frame, input, 64) && FB_AT(fb_frame, output_cols, 72) &&
          FB_AT(fb_frame, output_stride, 80) && FB_AT(fb_frame, output, 88) &&
          FB_AT(fb_frame, row_event_ns, 96) && FB_AT(fb_frame, symbols, 104));
FB_FROZEN(sizeof(fb_model_vt) == 88 && FB_AT(fb_model_vt, size, 0) &&
          FB_AT(fb_model_vt, flags, 4) && FB_AT(fb_model_vt, create, 8) &&
          FB_AT(fb_model_vt, info, 16) && FB_AT(fb_model_vt, warmup, 24) &&
          FB_AT(fb_model_vt, predict, 32) && FB_AT(fb_model_vt, save, 40) &&
          FB_AT(fb_model_vt, snapshot, 48) && FB_AT(fb_model_vt, restore, 56) &&
          FB_AT(fb_model_vt, quiesce, 64) && FB_AT(fb_model_vt, destroy, 72) &&
          FB_AT(fb_model_vt, get_extension, 80));
FB_FROZEN(sizeof(fb_space) == 64 && FB_AT(fb_space, size, 0) && FB_AT(fb_space, kind, 4) &&
          FB_AT(fb_space, rank, 8) && FB_AT(fb_space, elements, 16) && FB_AT(fb_space, shape, 24) &&
          FB_AT(fb_space, low, 32) && FB_AT(fb_space, high, 40) && FB_AT(fb_space, counts, 48) &&
          FB_AT(fb_space, start, 56));
FB_FROZEN(sizeof(fb_env_spec) == 80 && FB_AT(fb_env_spec, size, 0) &&
          FB_AT(fb_env_spec, autoreset, 4) && FB_AT(fb_env_spec, n_envs, 8) &&
          FB_AT(fb_env_spec, observation, 16) && FB_AT(fb_env_spec, action, 24) &&
          FB_AT(fb_env_spec, info_names, 32) && FB_AT(fb_env_spec, info_count, 40) &&
          FB_AT(fb_env_spec, reward_low, 48) && FB_AT(fb_env_spec, reward_high, 56) &&
          FB_AT(fb_env_spec, max_episode_steps, 64) && FB_AT(fb_env_spec, flags, 72) &&
          FB_AT(fb_env_spec, reserved, 76));
FB_FROZEN(sizeof(fb_env_reset) == 40 && FB_AT(fb_env_reset, size, 0) &&
          FB_AT(fb_env_reset, reserved, 4) && FB_AT(fb_env_reset, seeds, 8) &&
          FB_AT(fb_env_reset, mask, 16) && FB_AT(fb_env_reset, observations, 24) &&
          FB_AT(fb_env_reset, action_mask, 32));
FB_FROZEN(sizeof(fb_env_step) == 80 && FB_AT(fb_env_step, size, 0) &&
          FB_AT(fb_env_step, reserved, 4) && FB_AT(fb_env_step, actions, 8) &&
          FB_AT(fb_env_step, discrete_actions, 16) && FB_AT(fb_env_step, observations, 24) &&
          FB_AT(fb_env_step, rewards, 32) && FB_AT(fb_env_step, terminated, 40) &&
          FB_AT(fb_env_step, truncated, 48) && FB_AT(fb_env_step, final_observations, 56) &&
          FB_AT(fb_env_step, infos, 64) && FB_AT(fb_env_step, action_mask, 72));
FB_FROZEN(sizeof(fb_env_vt) == 40 && FB_AT(fb_env_vt, size, 0) && FB_AT(fb_env_vt, flags, 4) &&
          FB_AT(fb_env_vt, describe, 8) && FB_AT(fb_env_vt, reset, 16) &&
          FB_AT(fb_env_vt, step, 24) && FB_AT(fb_env_vt, close, 32));
FB_FROZEN(sizeof(fb_metric) == 24 && FB_AT(fb_metric, name, 0) && FB_AT(fb_metric, value, 16));
FB_FROZEN(sizeof(fb_progress) == 40 && FB_AT(fb_progress, size, 0) &&
          FB_AT(fb_progress, reserved, 4) && FB_AT(fb_progress, ctx, 8) &&
          FB_AT(fb_progress, report, 16) && FB_AT(fb_progress, cancelled, 24) &&
          FB_AT(fb_progress, checkpoint, 32));
FB_FROZEN(sizeof(fb_fit_request) == 112 && FB_AT(fb_fit_request, size, 0) &&
          FB_AT(fb_fit_request, flags, 4) && FB_AT(fb_fit_request, seed, 8) &&
          FB_AT(fb_fit_request, max_threads, 16) && FB_AT(fb_fit_request, reserved, 20) &&
          FB_AT(fb_fit_request, task_json, 24) && FB_AT(fb_fit_request, config_json, 40) &&
          FB_AT(fb_fit_request, train, 56) && FB_AT(fb_fit_request, valid, 64) &&
          FB_AT(fb_fit_request, env_vt, 72) && FB_AT(fb_fit_request, env, 80) &&
          FB_AT(fb_fit_request, progress, 88) && FB_AT(fb_fit_request, checkpoint, 96));
FB_FROZEN(sizeof(fb_learner_vt) == 32 && FB_AT(fb_learner_vt, size, 0) &&
          FB_AT(fb_learner_vt, flags, 4) && FB_AT(fb_learner_vt, describe, 8) &&
          FB_AT(fb_learner_vt, fit, 16) && FB_AT(fb_learner_vt, get_extension, 24));
FB_FROZEN(sizeof(fb_explain_vt) == 32 && FB_AT(fb_explain_vt, size, 0) &&
          FB_AT(fb_explain_vt, flags, 4) && FB_AT(fb_explain_vt, kinds, 8) &&
          FB_AT(fb_explain_vt, importance, 16) && FB_AT(fb_explain_vt, contributions, 24));
FB_FROZEN(sizeof(fb_incremental_vt) == 16 && FB_AT(fb_incremental_vt, size, 0) &&
          FB_AT(fb_incremental_vt, flags, 4) && FB_AT(fb_incremental_vt, update, 8));
FB_FROZEN(sizeof(fb_quantiles_vt) == 16 && FB_AT(fb_quantiles_vt, size, 0) &&
          FB_AT(fb_quantiles_vt, flags, 4) && FB_AT(fb_quantiles_vt, levels, 8));
FB_FROZEN(sizeof(fb_onnx_export_vt) == 16 && FB_AT(fb_onnx_export_vt, size, 0) &&
          FB_AT(fb_onnx_export_vt, flags, 4) && FB_AT(fb_onnx_export_vt, write_onnx, 8));
FB_FROZEN(sizeof(fb_entry) == 72 && FB_AT(fb_entry, size, 0) && FB_AT(fb_entry, abi_major, 4) &&
          FB_AT(fb_entry, abi_minor, 6) && FB_AT(fb_entry, id, 8) && FB_AT(fb_entry, version, 24) &&
          FB_AT(fb_entry, sdk, 40) && FB_AT(fb_entry, caps, 56) &&
          FB_AT(fb_entry, get_factory, 64));

#ifdef __cplusplus
}
#endif

#endif /* FUSEBOX_PLUGIN_H */
