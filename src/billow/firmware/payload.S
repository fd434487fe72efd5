# SPDX-License-Identifier: Apache-2.0
/* Billow's firmware guest: a 64 KiB image for `qemu -bios` that needs no operating system.
 *
 * Every vCPU works in 64-bit user mode (the one mode that is native under KVM and KVM-PVM
 * alike) on the orders in its control page, one 4 KiB page per vCPU at CONTROL + apic_id * 4096.
 * All words are u64; "in" may be changed while the guest runs, "out" is the guest's answer.
 *   0x00 work       out  units done: pages written, pages read, calculations, or idle ticks
 *   0x08 role       in   0 idle, 1 reader, 2 writer, 3 calculator
 *   0x10 base       in   first byte of the region it works on (page aligned)
 *   0x18 pages      in   length of the region in 4 KiB pages; 0 makes a reader or writer idle
 *   0x20 period     in   ns from one batch to the next; 0 = no pause (an idle vCPU always pauses)
 *   0x28 batch      in   units per batch; 0 = 64
 *   0x30 online     out  1 in long mode, 2 at work
 *   0x38 gap        out  longest time between two batches, TSC ticks
 *   0x40 stamp      out  TSC at the end of the last batch
 *   0x48 fill       in   not 0: fill the region with pseudo-random words before the first batch
 *   0x50 beat       out  heartbeats so far (vCPU 0 only)
 *   0x58 beat_ms    in   ms between heartbeats on the serial line; 0 = 1000 (vCPU 0 only)
 *   0x60 spin       in   calculations after each written page
 *   0x70 whole      in   not 0: a writer changes every word of a page, not only its count
 *   0x68 privileged out  TSC ticks that 8192 kernel-mode instructions took at boot (vCPU 0 only):
 *                        tells hardware that runs an operating system from hardware that emulates it
 * vCPU 0 also keeps house: it prints heartbeats on the first serial port and watches the ACPI
 * power button (QMP system_powerdown), on which it says so and switches the machine off.
 *
 * Traps of the ground: the GDT in ROM needs its accessed bits set beforehand; `ltr` writes, so
 * the working GDT is in RAM; `int n` from user mode is a triple fault under PVM, so a user-mode
 * `hlt`, which faults, is the way into the kernel; no `pause` where code is emulated.
 */
        .set CONTROL,   0x10000
        .set LIMIT,     64              /* vCPUs with a control page */
        .set RAM_GDT,   0x7000
        .set RAM_IDT,   0x8000
        .set LINE,      0x9000          /* the serial line being written */
        .set SERIAL,    0x3F8
        .set PM,        0x600           /* ACPI ports: status, +2 enable, +4 control, +8 timer */
        .set APIC,      0xFEE00000
        .set TICK,      0x40            /* vector of the local timer */

        .set WORK,      0x00
        .set ROLE,      0x08
        .set BASE,      0x10
        .set PAGES,     0x18
        .set PERIOD,    0x20
        .set BATCH,     0x28
        .set ONLINE,    0x30
        .set GAP,       0x38
        .set STAMP,     0x40
        .set FILL,      0x48
        .set BEAT,      0x50
        .set BEAT_MS,   0x58
        .set SPIN,      0x60
        .set WHOLE,     0x70
        .set PRIVILEGED, 0x68
        .set HOUSE,     0x800           /* private: TSC of the last housekeeping */
        .set ARMED,     0x808           /* private: period that the local timer has */
        .set PM_LAST,   0x810           /* private: ACPI timer at the last housekeeping */
        .set PM_SUM,    0x818           /* private: ACPI ticks since the last heartbeat */
        .set TSS,       0xC00           /* the kernel's stack grows down from here */

        .code16
        .section .text
        .globl _start
        .org 0
_start:
second16:                               /* start-up IPI vector 0xF0: 0xF000:0000 */
        cli
        mov  %cs, %ax
        mov  %ax, %ds
        lgdtl rom_gdt_register - second16
        mov  %cr0, %eax
        or   $1, %eax
        mov  %eax, %cr0
        ljmpl $8, $(0xF0000 + second32 - second16)

first16:
        cli
        mov  %cs, %ax
        mov  %ax, %ds
        lgdtl rom_gdt_register - second16
        mov  %cr0, %eax
        or   $1, %eax
        mov  %eax, %cr0
        ljmpl $8, $(0xF0000 + first32 - second16)

        .align 8
rom_gdt:
        .quad 0
        .quad 0x00CF9B000000FFFF        /* 0x08 code, 32 bit */
        .quad 0x00CF93000000FFFF        /* 0x10 data */
        .quad 0x00AF9B000000FFFF        /* 0x18 code, 64 bit */
        .quad 0
        .quad 0x00CFF3000000FFFF        /* 0x28 user data */
        .quad 0x00AFFB000000FFFF        /* 0x30 user code, 64 bit */
        .set ROM_GDT_WORDS, 7
rom_gdt_register:
        .word . - rom_gdt - 1
        .long 0xF0000 + rom_gdt - second16

        .code32
first32:
        mov  $0x10, %ax
        mov  %ax, %ds
        mov  %ax, %es
        mov  %ax, %ss
        mov  $0x1000, %edi              /* 0x1000..0x6FFF: map the first 4 GiB, 2 MiB pages */
        xor  %eax, %eax
        mov  $(0x6000 / 4), %ecx
        cld
        rep  stosl
        movl $0x2007, 0x1000
        movl $0x3007, 0x2000
        movl $0x4007, 0x2008
        movl $0x5007, 0x2010
        movl $0x6007, 0x2018
        mov  $0x3000, %edi
        mov  $0x87, %eax
        mov  $2048, %ecx
1:      mov  %eax, (%edi)
        add  $0x200000, %eax
        add  $8, %edi
        dec  %ecx
        jnz  1b
        mov  $1, %ebx                   /* ebx: this is the first vCPU */
        jmp  enter64

second32:
        mov  $0x10, %ax
        mov  %ax, %ds
        mov  %ax, %es
        mov  %ax, %ss
        xor  %ebx, %ebx
enter64:
        mov  $0x20, %eax                /* PAE */
        mov  %eax, %cr4
        mov  $0x1000, %eax
        mov  %eax, %cr3
        mov  $0xC0000080, %ecx          /* EFER: LME, NXE, SCE */
        rdmsr
        or   $0x901, %eax
        wrmsr
        mov  %cr0, %eax
        and  $0x9FFFFFFF, %eax          /* caches on */
        or   $0x80050033, %eax          /* PG AM WP NE ET MP PE */
        mov  %eax, %cr0
        ljmp $0x18, $(0xF0000 + long64 - second16)

        .code64
long64:
        mov  $0x10, %eax
        mov  %eax, %ds
        mov  %eax, %es
        mov  %eax, %ss
        mov  $APIC, %r8d                /* r8: local APIC */
        mov  0x20(%r8), %eax
        shr  $24, %eax
        mov  %eax, %r9d                 /* r9: apic id */
        cmp  $LIMIT, %eax
        jae  surplus
        shl  $12, %eax
        lea  CONTROL(%rax), %r15        /* r15: control page */
        lea  TSS(%r15), %rsp
        movq $1, ONLINE(%r15)
        test %ebx, %ebx
        jz   settle
        call quieten
        call tables
        call power_on
        call say_up
        call wake_others
settle: lgdt ram_gdt_register(%rip)
        lidt ram_idt_register(%rip)
        lea  TSS(%r15), %rax
        mov  %rax, TSS + 4(%r15)        /* stack for faults from user mode */
        mov  %r9d, %eax
        shl  $4, %eax
        add  $0x40, %eax
        ltr  %ax
        movl $0x1FF, 0xF0(%r8)          /* APIC on; timer: divide by 1, periodic */
        movl $0xB, 0x3E0(%r8)
        movl $(0x20000 | TICK), 0x320(%r8)
        movq $0, ARMED(%r15)
        pushq $0x2B                     /* to user mode, interrupts off */
        lea  0x1000(%r15), %rax
        pushq %rax
        pushq $2
        pushq $0x33
        lea  user(%rip), %rax
        pushq %rax
        iretq
surplus:                                /* more vCPUs than control pages: sleep for ever */
        hlt
        jmp  surplus

/* ---- preparations of the first vCPU ---- */

quieten:                                /* mask both interrupt controllers */
        mov  $0xFF, %al
        out  %al, $0x21
        out  %al, $0xA1
        ret

tables: lea  rom_gdt(%rip), %rsi        /* GDT: the ROM's, then one TSS per vCPU from 0x40 on */
        mov  $RAM_GDT, %edi
        mov  $ROM_GDT_WORDS, %ecx
        rep  movsq
        mov  $(CONTROL + TSS), %edx
        mov  $(RAM_GDT + 0x40), %edi
        mov  $LIMIT, %ecx
1:      mov  %rdx, %rax
        shl  $16, %rax
        mov  $0x0000890000000067, %rsi
        or   %rsi, %rax
        mov  %rax, (%rdi)
        movq $0, 8(%rdi)
        add  $16, %edi
        add  $0x1000, %edx
        dec  %ecx
        jnz  1b
        lea  trap(%rip), %rax           /* IDT: general protection, tick, spurious */
        mov  $(RAM_IDT + 0x0D * 16), %edi
        call gate
        lea  tick(%rip), %rax
        mov  $(RAM_IDT + TICK * 16), %edi
        call gate
        lea  spurious(%rip), %rax
        mov  $(RAM_IDT + 0xFF * 16), %edi

gate:   mov  %ax, (%rdi)                /* rax: code, rdi: slot */
        movw $0x18, 2(%rdi)
        movw $0x8E00, 4(%rdi)
        shr  $16, %rax
        mov  %eax, 6(%rdi)
        movw $0, 10(%rdi)
        movl $0, 12(%rdi)
        ret

power_on:                               /* PIIX4 power management (00:01.3) at port PM */
        mov  $0x80000B40, %eax
        mov  $0xCF8, %edx
        out  %eax, (%dx)
        mov  $(PM | 1), %eax
        mov  $0xCFC, %edx
        out  %eax, (%dx)
        mov  $0x80000B80, %eax
        mov  $0xCF8, %edx
        out  %eax, (%dx)
        mov  $1, %al
        mov  $0xCFC, %edx
        out  %al, (%dx)
        mov  $(PM + 2), %edx            /* let the power button set its status bit */
        mov  $0x100, %eax
        out  %ax, (%dx)
        mov  $(PM + 8), %edx
        in   (%dx), %eax
        mov  %rax, PM_LAST(%r15)
        movq $0, PM_SUM(%r15)
        ret

wake_others:
        movl $0x1FF, 0xF0(%r8)
        movl $0x000C4500, 0x300(%r8)    /* INIT to all others */
        rdtsc
        shl  $32, %rdx
        or   %rdx, %rax
        mov  %rax, %rsi
        call delay
        rdtsc
        shl  $32, %rdx
        or   %rdx, %rax
        sub  %rsi, %rax
        mov  %rax, PRIVILEGED(%r15)
        movl $0x000C46F0, 0x300(%r8)    /* start-up, twice */
        call delay
        movl $0x000C46F0, 0x300(%r8)
        ret
delay:  mov  $0x1000, %ecx
1:      dec  %ecx
        jnz  1b
        ret

/* ---- the work, in user mode ---- */

user:   cmpq $0, FILL(%r15)
        je   begin
        mov  BASE(%r15), %rdi           /* xorshift64 */
        mov  PAGES(%r15), %rcx
        shl  $9, %rcx
        jz   begin
        mov  $0x9E3779B97F4A7C15, %rax
        add  %r9, %rax
1:      mov  %rax, %rdx
        shl  $13, %rdx
        xor  %rdx, %rax
        mov  %rax, %rdx
        shr  $7, %rdx
        xor  %rdx, %rax
        mov  %rax, %rdx
        shl  $17, %rdx
        xor  %rdx, %rax
        mov  %rax, (%rdi)
        add  $8, %rdi
        dec  %rcx
        jnz  1b
begin:  rdtsc
        shl  $32, %rdx
        or   %rdx, %rax
        mov  %rax, STAMP(%r15)
        mov  %rax, HOUSE(%r15)
        movq $2, ONLINE(%r15)
        xor  %esi, %esi                 /* rsi: page in the region */
        xor  %r12d, %r12d               /* r12: work */
orders: mov  BASE(%r15), %r10
        mov  PAGES(%r15), %r11
        mov  PERIOD(%r15), %r14         /* r14: time to sleep for, ns */
        mov  BATCH(%r15), %rcx
        test %rcx, %rcx
        jnz  1f
        mov  $64, %ecx
1:      mov  ROLE(%r15), %rbp
        cmp  $3, %rbp
        je   calculate
        test %r11, %r11
        jz   idle
        cmp  %r11, %rsi                 /* the region may have shrunk */
        jb   2f
        xor  %esi, %esi
2:      cmp  $2, %rbp
        je   write
        cmp  $1, %rbp
        je   read
idle:   inc  %r12
        test %r14, %r14
        jnz  done
        mov  $250000000, %r14d          /* vCPU 0 looks at the power button, the others at */
        test %r9d, %r9d                 /* their orders only */
        jz   done
        mov  $2000000000, %r14d
        jmp  done
write:  mov  %rsi, %rdi
        shl  $12, %rdi
        inc  %r12
        mov  %r12, 8(%r10, %rdi)
        cmpq $0, WHOLE(%r15)
        je   spin
        add  %r10, %rdi
        mov  $0x5851F42D4C957F2D, %rbx
        mov  %r12, %rdx
        imul %rbx, %rdx                 /* word n of the page: (count + n) times this constant */
        add  %rbx, %rdx
        add  %rbx, %rdx
        mov  $510, %r13d
10:     mov  %rdx, 16(%rdi)
        add  %rbx, %rdx
        add  $8, %rdi
        dec  %r13d
        jnz  10b
spin:   mov  SPIN(%r15), %rdx
        test %rdx, %rdx
        jz   4f
3:      imul $1664525, %rax, %rax
        add  $1013904223, %rax
        dec  %rdx
        jnz  3b
4:      inc  %rsi
        cmp  %r11, %rsi
        jb   5f
        xor  %esi, %esi
5:      dec  %rcx
        jnz  write
        jmp  done
read:   mov  %rsi, %rdi
        shl  $12, %rdi
        add  %r10, %rdi
        mov  $64, %edx
6:      add  (%rdi), %rax
        add  $64, %rdi
        dec  %edx
        jnz  6b
        inc  %r12
        inc  %rsi
        cmp  %r11, %rsi
        jb   7f
        xor  %esi, %esi
7:      dec  %rcx
        jnz  read
        jmp  done
calculate:
        mov  $64, %edx
8:      imul $1664525, %rax, %rax
        add  $1013904223, %rax
        dec  %edx
        jnz  8b
        inc  %r12
        dec  %rcx
        jnz  calculate
done:   mov  %r12, WORK(%r15)
        rdtsc
        shl  $32, %rdx
        or   %rdx, %rax
        mov  %rax, %rdx
        sub  STAMP(%r15), %rdx
        mov  %rax, STAMP(%r15)
        cmp  GAP(%r15), %rdx
        jbe  9f
        mov  %rdx, GAP(%r15)
9:      test %r14, %r14
        jnz  ask
        sub  HOUSE(%r15), %rax          /* busy: into the kernel every 2^28 ticks only */
        shr  $28, %rax
        jz   orders
ask:    hlt                             /* faults: the kernel keeps house and sleeps r14 ns */
        jmp  orders

/* ---- the kernel ---- */

trap:   add  $8, %rsp                   /* drop the error code; go on behind the hlt */
        incq (%rsp)
        push %rax
        push %rcx
        push %rdx
        push %rsi
        push %rdi
        rdtsc
        shl  $32, %rdx
        or   %rdx, %rax
        mov  %rax, %rdx
        sub  HOUSE(%r15), %rdx
        shr  $28, %rdx
        jz   1f
        mov  %rax, HOUSE(%r15)
        test %r9d, %r9d
        jnz  1f
        call keep_house
1:      mov  $0xFFFFFFFF, %eax          /* the local timer counts ns in 32 bits */
        cmp  %rax, %r14
        cmova %rax, %r14
        cmp  ARMED(%r15), %r14
        je   2f
        mov  %r14, ARMED(%r15)
        mov  %r14d, 0x380(%r8)
2:      test %r14, %r14
        jz   3f
        sti
halt:   hlt
        cli
3:      pop  %rdi
        pop  %rsi
        pop  %rdx
        pop  %rcx
        pop  %rax
        iretq

tick:   push %rax
        lea  halt(%rip), %rax
        cmp  %rax, 8(%rsp)              /* came just before the hlt: step over it */
        jne  1f
        incq 8(%rsp)
1:      pop  %rax
        movl $0, 0xB0(%r8)
spurious:
        iretq

keep_house:
        mov  $PM, %edx
        in   (%dx), %ax
        test $0x100, %eax
        jnz  power_off
        mov  $(PM + 8), %edx            /* 24 bits, 3579545 Hz; stands still with the guest */
        in   (%dx), %eax
        mov  %eax, %ecx
        sub  PM_LAST(%r15), %ecx
        and  $0xFFFFFF, %ecx
        mov  %eax, PM_LAST(%r15)
        add  PM_SUM(%r15), %rcx
        mov  %rcx, PM_SUM(%r15)
        mov  BEAT_MS(%r15), %rax
        test %rax, %rax
        jnz  1f
        mov  $1000, %eax
1:      imul $3580, %rax, %rax
        cmp  %rax, %rcx
        jb   2f
        movq $0, PM_SUM(%r15)
        incq BEAT(%r15)
        jmp  say_beat
2:      ret

power_off:
        lea  text_off(%rip), %rsi
        mov  $LINE, %edi
        call append
        call print
        mov  $(PM + 4), %edx
        mov  $0x2000, %eax              /* sleep type 0 is off */
        out  %ax, (%dx)
1:      hlt
        jmp  1b

say_up: lea  text_up(%rip), %rsi
        mov  $LINE, %edi
        call append
        mov  $5, %eax                   /* fw_cfg: number of vCPUs */
        mov  $0x510, %edx
        out  %ax, (%dx)
        inc  %edx
        in   (%dx), %al
        movzbl %al, %ecx
        in   (%dx), %al
        movzbl %al, %eax
        shl  $8, %eax
        or   %ecx, %eax
        call decimal
        jmp  end_line

say_beat:
        lea  text_beat(%rip), %rsi
        mov  $LINE, %edi
        call append
        mov  BEAT(%r15), %rax
        call decimal
        lea  text_work(%rip), %rsi
        call append
        mov  $CONTROL, %ecx             /* the work of all vCPUs that ever came up */
        xor  %eax, %eax
        mov  $LIMIT, %edx
1:      cmpq $0, ONLINE(%rcx)
        je   2f
        add  WORK(%rcx), %rax
        add  $0x1000, %ecx
        dec  %edx
        jnz  1b
2:      call decimal
end_line:
        movw $0x0A0D, (%rdi)
        add  $2, %edi
print:  mov  %edi, %ecx                 /* one string instruction: one exit per line */
        mov  $LINE, %esi
        sub  %esi, %ecx
        mov  $SERIAL, %edx
        rep  outsb
        ret

append: lodsb                           /* rsi: text that ends with 0, rdi: where to */
        test %al, %al
        jz   1f
        stosb
        jmp  append
1:      ret

decimal:                                /* rax: number, rdi: where to */
        mov  $10, %ecx
        pushq $0
1:      xor  %edx, %edx
        div  %rcx
        add  $'0', %edx
        push %rdx
        test %rax, %rax
        jnz  1b
2:      pop  %rax
        test %rax, %rax
        jz   3f
        stosb
        jmp  2b
3:      ret

text_up:   .asciz "billow-firmware up cpus="
text_beat: .asciz "billow-firmware beat="
text_work: .asciz " work="
text_off:  .asciz "billow-firmware power button, off\r\n"

        .align 8
ram_gdt_register:
        .word 0x40 + LIMIT * 16 - 1
        .quad RAM_GDT
ram_idt_register:
        .word 0xFFF
        .quad RAM_IDT

        .code16
        .org 0xFFF0
        ljmp $0xF000, $(first16 - second16)
        .org 0x10000
