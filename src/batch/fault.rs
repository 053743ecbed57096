//! Files that make the codec fail like a bug in a C decoder. Compiled only for tests (feature `fault-switch`), never
//! into the program that ships.

/// Fails in the way that the file asks for. Every other file passes.
pub(super) fn trip(bytes: &[u8]) {
    match bytes.strip_prefix(b"pixpipe-fault:") {
        // As after a failed assertion in C: a signal, not a panic.
        Some(b"crash") => std::process::abort(),
        Some(b"panic") => panic!("requested by the file"),
        Some(b"spin") => loop {
            std::hint::spin_loop();
        },
        Some(b"eat-memory") => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 16 << 20]);
                std::hint::black_box(&eaten);
            }
        }
        _ => {}
    }
}
