//! Files that make the codec fail as a bug in a C decoder would. Compiled for tests alone (feature `fault-switch`): the
//! program that ships has none of this.

/// Does what the file asks for; nothing where it is any other file.
pub(super) fn trip(bytes: &[u8]) {
    match bytes.strip_prefix(b"pixpipe-fault:") {
        // As after a failed assertion in C: a signal, not a panic.
        Some(b"crash") => std::process::abort(),
        Some(b"panic") => panic!("asked for by the file"),
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
