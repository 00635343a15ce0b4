//! Facts of a shared object that decide whether it can be loaded again and again: read from the
//! file, nothing is run.

use object::elf::{
    DF_1_NOW, DF_BIND_NOW, DF_STATIC_TLS, DF_TEXTREL, DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_NEEDED,
    DT_RPATH, DT_RUNPATH, DT_TEXTREL, FileHeader64, PF_X, PT_GNU_STACK, STB_GNU_UNIQUE,
};
use object::read::elf::{ElfFile, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};

/// What the dynamic linker will make of a library.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Names it exports.
    pub(super) exports: Vec<String>,
    /// Names that are unique in the whole process, so that a second copy shares them.
    pub(super) unique: Vec<String>,
    pub(super) has_static_tls: bool,
    pub(super) binds_now: bool,
    pub(super) has_text_relocations: bool,
    pub(super) has_executable_stack: bool,
    /// Libraries it needs.
    pub(super) needed: Vec<String>,
    /// Directories it has them looked for in.
    pub(super) search: Vec<String>,
}

impl Facts {
    /// Reads the facts of a 64-bit ELF file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = ElfFile::<FileHeader64<Endianness>>::parse(bytes)
            .map_err(|error| format!("it is not a 64-bit ELF file ({error})"))?;
        let endian = file.endian();
        let mut facts = Self {
            has_executable_stack: true,
            ..Self::default()
        };
        for header in file.elf_program_headers() {
            if header.p_type(endian) == PT_GNU_STACK {
                facts.has_executable_stack = header.p_flags(endian).0 & PF_X.0 != 0;
            }
        }
        for symbol in file
            .dynamic_symbols()
            .filter(|symbol| symbol.is_definition())
        {
            let name = symbol.name().unwrap_or("?").to_owned();
            if symbol.elf_symbol().st_bind() == STB_GNU_UNIQUE {
                facts.unique.push(name.clone());
            }
            facts.exports.push(name);
        }
        // Linkers export these for the program's own start; they are no choice of an author.
        facts
            .exports
            .retain(|name| !["_init", "_fini"].contains(&name.as_str()));
        facts.read_dynamic(&file)?;
        Ok(facts)
    }

    fn read_dynamic(&mut self, file: &ElfFile<'_, FileHeader64<Endianness>>) -> Result<(), String> {
        let table = file
            .elf_dynamic_table()
            .map_err(|error| format!("its dynamic section cannot be read ({error})"))?;
        for entry in &table {
            let text = || {
                let bytes = table.string(entry).unwrap_or_default();
                String::from_utf8_lossy(bytes).into_owned()
            };
            match entry.tag {
                DT_NEEDED => self.needed.push(text()),
                DT_RPATH | DT_RUNPATH => {
                    self.search.extend(text().split(':').map(str::to_owned));
                }
                DT_BIND_NOW => self.binds_now = true,
                DT_TEXTREL => self.has_text_relocations = true,
                DT_FLAGS => {
                    self.binds_now |= entry.val & DF_BIND_NOW.0 != 0;
                    self.has_static_tls |= entry.val & DF_STATIC_TLS.0 != 0;
                    self.has_text_relocations |= entry.val & DF_TEXTREL.0 != 0;
                }
                DT_FLAGS_1 => self.binds_now |= entry.val & DF_1_NOW.0 != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_facts_and_garbage_has_none() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let facts = Facts::read(&program).unwrap();
        assert!(facts.needed.iter().any(|name| name.starts_with("libc.so")));
        assert!(!facts.has_executable_stack && !facts.has_text_relocations);
        assert!(Facts::read(b"#!/bin/sh").is_err());
        for length in (0..program.len().min(4096)).step_by(61) {
            let _ = Facts::read(&program[..length]);
        }
    }
}
