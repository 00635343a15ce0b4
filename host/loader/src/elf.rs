//! Reading a library without running it: machine, note and entry symbols.

use std::path::Path;

use fusebox_plugin_api::abi::ENTRY_SYMBOL;
use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, FileHeader64};
use object::read::elf::{ElfFile, FileHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

use crate::error::LoadError;

/// Section and owner of the note, as the header fixes them.
const NOTE_SECTION: &str = ".note.fusebox";
const NOTE_OWNER: &[u8] = b"Fusebox\0";
const NOTE_TYPE: u32 = 1;

/// The facts in a plugin's note; none of them has control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginNote {
    /// Contract version, `major.minor`.
    pub abi: String,
    /// Reverse DNS id.
    pub id: String,
    /// Version of the plugin.
    pub version: String,
}

/// Checks that `bytes` is a plugin library for this machine and reads its note.
///
/// # Errors
/// [`LoadError`] where it is no ELF file, is cut off, is for another machine, exports another entry
/// or none, or has no note. `path` is for the message.
pub fn inspect(bytes: &[u8], path: &Path) -> Result<PluginNote, LoadError> {
    let refuse = |reason: String| LoadError::NotALibrary {
        path: path.to_owned(),
        reason,
    };
    let file = ElfFile::<FileHeader64<Endianness>>::parse(bytes)
        .map_err(|error| refuse(format!("it is not a 64-bit ELF file ({error})")))?;
    let header = file.elf_header();
    let endian = file.endian();
    let (machine, kind) = (header.e_machine(endian), header.e_type(endian));
    let wanted = if cfg!(target_arch = "aarch64") {
        EM_AARCH64
    } else {
        EM_X86_64
    };
    if machine != wanted {
        return Err(refuse(format!(
            "it is for ELF machine {}, this is {}",
            u32::from(machine.0),
            u32::from(wanted.0)
        )));
    }
    if kind != ET_DYN {
        return Err(refuse("it is not a shared object".to_owned()));
    }
    check_entry(&file, path)?;
    let Some(section) = file.section_by_name(NOTE_SECTION) else {
        return Err(refuse(format!(
            "it has no `{NOTE_SECTION}` section; add FB_PLUGIN_NOTE(id, version) or use \
             export_plugin!"
        )));
    };
    let data = section
        .data()
        .map_err(|error| refuse(format!("its `{NOTE_SECTION}` section is cut off ({error})")))?;
    parse_note(data).ok_or_else(|| {
        refuse(format!(
            "its `{NOTE_SECTION}` section is not a Fusebox note"
        ))
    })
}

fn check_entry(file: &ElfFile<'_, FileHeader64<Endianness>>, path: &Path) -> Result<(), LoadError> {
    let entries: Vec<&str> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| name.starts_with("fusebox_plugin_entry_"))
        .collect();
    if entries.contains(&ENTRY_SYMBOL) {
        return Ok(());
    }
    let (path, needed) = (path.to_owned(), ENTRY_SYMBOL);
    if entries.is_empty() {
        return Err(LoadError::NoEntry { path, needed });
    }
    Err(LoadError::WrongAbi {
        path,
        found: entries.join(", ").replace(char::is_control, " "),
        needed,
    })
}

/// The facts of the first Fusebox note in a section; `None` where there is none.
fn parse_note(mut data: &[u8]) -> Option<PluginNote> {
    loop {
        let (sizes, rest) = data.split_at_checked(12)?;
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(sizes.get(at..at + 4)?.try_into().ok()?))
        };
        let (name_len, text_len, kind) = (number(0)? as usize, number(4)? as usize, number(8)?);
        let (name, rest) = rest.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        let text = rest.get(..text_len)?;
        if name.get(..name_len)? == NOTE_OWNER && kind == NOTE_TYPE {
            return parse_text(std::str::from_utf8(text).ok()?);
        }
        data = rest.get(text_len.checked_next_multiple_of(4)?..)?;
    }
}

fn parse_text(text: &str) -> Option<PluginNote> {
    let value = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| value.to_owned())
            .filter(|value| !value.contains(char::is_control))
    };
    Some(PluginNote {
        abi: value("abi")?,
        id: value("id")?,
        version: value("version")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8; 8], text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [8, text.len() as u32, NOTE_TYPE] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(owner);
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_note_is_found_behind_foreign_ones() {
        let mut section = note(b"Someone\0", "x");
        section.extend(note(
            b"Fusebox\0",
            "abi=1.0\nid=a.b\nlater=1\nversion=1.2.3\n",
        ));
        let found = parse_note(&section).unwrap();
        assert_eq!((found.abi.as_str(), found.id.as_str()), ("1.0", "a.b"));
        assert_eq!(found.version, "1.2.3");
    }

    #[test]
    fn cut_off_notes_are_refused_at_every_length() {
        let section = note(b"Fusebox\0", "abi=1.0\nid=a.b\nversion=1.2.3\n");
        let text_end = 20 + "abi=1.0\nid=a.b\nversion=1.2.3\n".len();
        for len in 0..text_end {
            assert_eq!(parse_note(&section[..len]), None, "{len}");
        }
    }

    #[test]
    fn a_note_that_would_steer_a_terminal_is_none() {
        let section = note(b"Fusebox\0", "abi=1.0\nid=a.\x1b[31mb\nversion=1.2.3\n");
        assert_eq!(parse_note(&section), None);
    }

    #[test]
    fn what_is_no_library_says_so() {
        let error = inspect(b"#!/bin/sh\n", Path::new("x.so"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("x.so is not a plugin library"), "{error}");
    }
}
