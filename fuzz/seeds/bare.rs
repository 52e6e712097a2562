//! A library without the standard library, so that its debug information is small.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

mod inner {
    #[inline(never)]
    pub fn work(a: &[u32]) -> u32 {
        a.iter().fold(7, |s, x| s.wrapping_add(x.rotate_left(3)))
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn entry(a: u32) -> u32 {
    inner::work(&[a, a + 1, 9])
}
