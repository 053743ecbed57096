//! Hostile files given to the program. Broken ones are refused with the right reason and never affect their neighbours
//! or the memory of the task. The decoders alone are tested in `crates/pixels/tests/hostile`.

#[path = "../../crates/pixels/tests/hostile/files/mod.rs"]
mod files;

mod bombs;
mod folder_run;
mod neighbours;
