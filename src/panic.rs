//! What a Rust panic means in a kernel: a broken invariant of our own.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => crate::kern::panic(format_args!(
            "{} at {}:{}",
            info.message(),
            at.file(),
            at.line()
        )),
        None => crate::kern::panic(format_args!("{}", info.message())),
    }
}
