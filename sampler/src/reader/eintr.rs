//! Which system calls show a program that it was stopped, by EINTR, and how such a call is wound back.
//! Measured on Linux 6.18, one PTRACE_INTERRUPT in each wait; the others restart unseen.

use nix::libc::{self, user_regs_struct};

/// `syscall` (0f 05) is two bytes long.
const SYSCALL_LEN: u64 = 2;

/// Whether a stop that aborts this call makes it return EINTR (x86-64 numbers).
pub fn is_shown(number: u32) -> bool {
    matches!(
        number,
        43 | 44 | 45 | 46 | 47 // accept sendto recvfrom sendmsg recvmsg, on sockets with a timeout
        | 0 | 1 | 19 | 20 // read write readv writev, on the same; elsewhere they restart
        | 40 | 42 | 275 | 307 // sendfile connect splice sendmmsg, on the same
        | 65 | 220 // semop semtimedop
        | 128 // rt_sigtimedwait
        | 208 | 333 // io_getevents io_pgetevents
        | 232 | 281 | 441 // epoll_wait epoll_pwait epoll_pwait2
        | 288 | 299 // accept4 recvmmsg
        | 426 // io_uring_enter
    )
}

/// Whether the registers at a stop show a call of that list that the stop itself aborted: `orig_rax` still holds its
/// number, and `rax` is exactly -EINTR. Restart codes (-512...) are the kernel's own business.
pub fn was_aborted(registers: &user_regs_struct) -> bool {
    const EINTR: u64 = (-(libc::EINTR as i64)).cast_unsigned();
    registers.rax == EINTR && u32::try_from(registers.orig_rax).is_ok_and(is_shown)
}

/// Registers with which the thread enters the call again. A relative timeout starts again: it is longer by the
/// microseconds since the call began.
pub fn wound_back(registers: &user_regs_struct) -> user_regs_struct {
    let mut back = *registers;
    back.rax = back.orig_rax;
    back.rip = back.rip.wrapping_sub(SYSCALL_LEN);
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(orig_rax: u64, rax: i64) -> user_regs_struct {
        let mut registers = zeroed();
        registers.orig_rax = orig_rax;
        registers.rax = rax.cast_unsigned();
        registers.rip = 0x1002;
        registers
    }

    fn zeroed() -> user_regs_struct {
        user_regs_struct {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rbp: 0,
            rbx: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rax: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            orig_rax: 0,
            rip: 0,
            cs: 0,
            eflags: 0,
            rsp: 0,
            ss: 0,
            fs_base: 0,
            gs_base: 0,
            ds: 0,
            es: 0,
            fs: 0,
            gs: 0,
        }
    }

    /// Check that only an aborted call of the list is wound back.
    #[test]
    fn aborted_calls() {
        assert!(was_aborted(&registers(232, -4)));
        assert!(!was_aborted(&registers(232, -516)), "a restart code is the kernel's");
        assert!(!was_aborted(&registers(232, 1)));
        assert!(!was_aborted(&registers(7, -4)), "poll restarts by itself");
        assert!(!was_aborted(&registers(u64::MAX, -4)), "not in a call");
        let back = wound_back(&registers(232, -4));
        assert_eq!((back.rax, back.rip), (232, 0x1000));
    }
}
