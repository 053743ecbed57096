//! Renders one photo in one size, some times over: `gate TIMES SIZE PHOTO`. `benches/gate.py` counts its instructions.

use std::sync::Arc;

use pixpipe_pixels::render::{Plan, Renderer};
use pixpipe_pixels::spec::Spec;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [times, size, photo] = &arguments[..] else { panic!("usage: gate TIMES SIZE PHOTO") };
    let bytes = std::fs::read(photo).unwrap_or_else(|error| panic!("{photo}: {error}"));
    let spec = Arc::new(Spec { sizes: vec![size.parse().expect("a size")], ..Spec::default() });
    let mut renderer = Renderer::try_new().expect("memory for the codecs");
    for _ in 0..times.parse().expect("a number") {
        let plan = Plan::read(&bytes, Arc::clone(&spec), u64::MAX).expect("an image");
        let files = renderer.render(&bytes, &plan, &spec.sizes).expect("a whole image").files;
        assert_eq!(files.len(), 1, "one file for one size");
    }
}
