# One function for each form of frame. Each calls the one above it; `NAME.ret` is where that returns to.
.macro fn name
    .globl \name
    .type \name, @function
\name:
    .cfi_startproc
.endm
.macro end name
    .cfi_endproc
    .size \name, . - \name
    .balign 16
.endm

.text
fn leaf                     # CFA = rsp + 32
    subq $24, %rsp
    .cfi_adjust_cfa_offset 24
leaf.pc:
    nop
    addq $24, %rsp
    .cfi_adjust_cfa_offset -24
    ret
end leaf

fn framed                   # CFA = rbp + 16, rbx saved
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq %rbx
    .cfi_offset %rbx, -24
    subq $8, %rsp
    call leaf
framed.ret:
    .cfi_remember_state
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_restore_state
    nop
end framed

fn realigned                # CFA = *(rbp - 8), rbp at *(rbp) (GCC)
    .cfi_escape 0x0f,0x03,0x76,0x78,0x06
    .cfi_escape 0x10,0x06,0x02,0x76,0x00
    call framed
realigned.ret:
    nop
end realigned

fn handmade                 # CFA = *(rsp + 16) + 8
    .cfi_escape 0x0f,0x05,0x77,0x10,0x06,0x23,0x08
    call realigned
handmade.ret:
    nop
end handmade

fn signal                   # every register from the signal's frame: exact walk
    .cfi_signal_frame
    .cfi_escape 0x0f,0x03,0x77,0x10,0x06
    .cfi_escape 0x10,0x06,0x02,0x77,0x18
    .cfi_escape 0x10,0x10,0x02,0x77,0x20
    .cfi_escape 0x16,0x03,0x03,0x77,0x08,0x06
    nop
signal.ret:
    nop
end signal

fn inregister               # return address in rdx, as in vfork
    .cfi_register %rip, %rdx
    nop
inregister.pc:
    nop
end inregister

fn plt
    .cfi_def_cfa_offset 16
    .cfi_escape 0x0f,0x0b,0x77,0x08,0x80,0x00,0x3f,0x1a,0x3b,0x2a,0x33,0x24,0x22
plt.pc:
    .skip 16, 0x90
end plt

fn many                     # all kinds of operations
    .cfi_same_value %r12
    .cfi_undefined %r13
    .cfi_register %r14, %r15
    .cfi_escape 0x14,0x0c,0x01
    .cfi_escape 0x15,0x0c,0x7f
    .cfi_escape 0x2e,0x10
    .cfi_escape 0x05,0x03,0x02
    .cfi_escape 0x11,0x03,0x7e
    .cfi_escape 0x12,0x07,0x7f
    .cfi_escape 0x13,0x7e
    .cfi_def_cfa %rsp, 8
    .cfi_restore %r12
    call leaf
many.ret:
    nop
    .skip 300, 0x90
    .cfi_def_cfa_offset 24
    nop
end many

# Described by nobody, with a frame pointer.
bare:
    pushq %rbp
    movq %rsp, %rbp
    subq $16, %rsp
    call leaf
bare.ret:
    leave
    ret
    .balign 16

    call root
before.ret:
    nop
    syscall
fn root
    .cfi_undefined %rip
    call many
root.ret:
    hlt
end root
