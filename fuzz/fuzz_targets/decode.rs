//! Bytes that claim to be an image.

#![no_main]

use std::cell::RefCell;

use pixpipe::render::Renderer;

#[path = "../bodies/decode.rs"]
mod body;

thread_local! {
    /// One for all inputs, as in the program: what one file leaves behind must not reach the next.
    static RENDERER: RefCell<Renderer> = RefCell::new(Renderer::try_new().expect("there is memory for the codecs"));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| RENDERER.with_borrow_mut(|renderer| {
    if let Err(fault) = body::run(renderer, input) {
        panic!("{fault}");
    }
}));
