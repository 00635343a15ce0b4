//! Libraries as a scan sees them: any bytes, and a real plugin with bytes changed, added and cut
//! off. The scan answers with the note or with a reason that names the file.
#![no_main]

use std::path::Path;

use arbitrary::Arbitrary;
use fusebox_loader::elf;
use libfuzzer_sys::fuzz_target;

const PLUGIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.so"));

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Raw(&'a [u8]),
    Changed {
        /// Where, from the beginning or the end of the file, and what is written there.
        patches: Vec<(u16, bool, [u8; 4])>,
        /// How many bytes are cut off.
        cut: u16,
        /// What is put behind it.
        tail: &'a [u8],
    },
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Raw(bytes) => check(bytes),
        Input::Changed { patches, cut, tail } => {
            let mut bytes = PLUGIN.to_vec();
            for (at, from_end, value) in patches {
                let at = usize::from(at) % bytes.len();
                let at = if from_end { bytes.len() - 1 - at } else { at };
                let end = (at + value.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            bytes.truncate(PLUGIN.len() - usize::from(cut) % PLUGIN.len());
            bytes.extend_from_slice(tail);
            check(&bytes);
        }
    }
});

fn check(bytes: &[u8]) {
    let text = match elf::inspect(bytes, Path::new("plugin.so")) {
        Ok(note) => [note.abi, note.id, note.version].concat(),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("plugin.so"), "{text}");
            text
        }
    };
    assert!(
        !text.contains(char::is_control),
        "{text:?} would steer a terminal"
    );
}
