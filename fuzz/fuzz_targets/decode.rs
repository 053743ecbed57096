//! Bytes that claim to be an image.

#![no_main]

use std::cell::RefCell;

use pixpipe_pixels::render::Renderer;

#[path = "../bodies/counting.rs"]
mod counting;
#[path = "../bodies/decode.rs"]
mod body;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

thread_local! {
    /// One renderer for all inputs, as in the program: nothing that one file leaves in it may reach the next.
    static RENDERER: RefCell<Renderer> = RefCell::new(Renderer::try_new().expect("memory for the codecs"));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| RENDERER.with_borrow_mut(|renderer| {
    if let Err(fault) = body::run(renderer, input) {
        panic!("{fault}");
    }
}));
