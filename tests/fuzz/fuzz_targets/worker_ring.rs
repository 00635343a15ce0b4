//! What a worker process sends to its host, and scribbles over the memory that they share: any
//! message, any words. The host reads an answer, an error of one line, or refuses the message.
#![no_main]

use arbitrary::Arbitrary;
use fusebox_loader::worker::fuzzing;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// The bytes as they are.
    Worker(&'a [u8]),
    Host(&'a [u8]),
    /// A message that begins like one, so that the reader goes on to its head and its blobs.
    Framed {
        from_worker: bool,
        head: &'a str,
        blobs: Vec<&'a [u8]>,
        lies_by: i8,
    },
    Ring {
        scribbles: Vec<(u16, u32)>,
        sequence: u32,
        shape: (u8, u8, u8),
    },
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Worker(bytes) => fuzzing::message_of_worker(bytes),
        Input::Host(bytes) => fuzzing::message_of_host(bytes),
        Input::Framed {
            from_worker,
            head,
            blobs,
            lies_by,
        } => {
            let mut bytes = b"FBW1".to_vec();
            bytes.extend((blobs.len() as u32).to_le_bytes());
            bytes.extend(
                (head.len() as u64)
                    .wrapping_add_signed(lies_by.into())
                    .to_le_bytes(),
            );
            for blob in &blobs {
                bytes.extend((blob.len() as u64).to_le_bytes());
            }
            bytes.extend(head.as_bytes());
            bytes.extend(blobs.concat());
            if from_worker {
                fuzzing::message_of_worker(&bytes);
            } else {
                fuzzing::message_of_host(&bytes);
            }
        }
        Input::Ring {
            scribbles,
            sequence,
            shape,
        } => {
            fuzzing::answer_in_ring(&scribbles, sequence, shape);
        }
    }
});
