# SPDX-License-Identifier: Apache-2.0
# A guest of 512 bytes, for tests: a boot sector that says BOOTED on the serial line, then a dot now and then, each after counting up
# in sector 1 of its disk ('E' if the disk refuses). It obeys the power button (says BYE) and four letters on its serial line: q powers
# off, r resets, p says that its system panicked, c stands still with interrupts off.
# as tiny-guest.S -o tiny-guest.o && ld --oformat binary -Ttext 0x7c00 tiny-guest.o -o tiny-guest.img
.code16
.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	movb %dl, drive
	movw $booted, %si
	call puts
	movw $0x602, %dx		# ACPI: the power button sets its status bit
	movw $0x100, %ax
	outw %ax, %dx
again:
	movb $0x42, %ah			# read sector 1, count, write it
	call disk
	jc fault
	incw 0x8000
	movb $0x43, %ah
	call disk
	jc fault
	movb $'.', %al
	jmp 1f
fault:	movb $'E', %al
1:	call putc
	movw $9, %bx			# about half a second of timer ticks
wait:
	hlt
	movw $0x3fd, %dx		# a letter on the serial line?
	inb %dx, %al
	testb $1, %al
	jz 2f
	movw $0x3f8, %dx
	inb %dx, %al
	cmpb $'q', %al
	je off
	cmpb $'r', %al
	je reset
	cmpb $'p', %al
	je panic
	cmpb $'c', %al
	jne 2f
	cli
1:	hlt
	jmp 1b
2:	movw $0x600, %dx		# the power button?
	inw %dx, %ax
	testb $1, %ah
	jnz button
	decw %bx
	jnz wait
	jmp again
button:
	movw $bye, %si
	call puts
off:	movw $0x604, %dx		# ACPI S5
	movw $0x2000, %ax
	outw %ax, %dx
1:	hlt
	jmp 1b
panic:	movw $0x505, %dx		# pvpanic
	movb $1, %al
	outb %al, %dx
	jmp again
reset:	movb $6, %al
	movw $0xcf9, %dx
	outb %al, %dx
1:	hlt
	jmp 1b
disk:	movb drive, %dl
	movw $packet, %si
	int $0x13
	ret
puts:	lodsb
	testb %al, %al
	jz 1f
	call putc
	jmp puts
1:	ret
putc:	pushw %dx
	movw $0x3f8, %dx
	outb %al, %dx
	popw %dx
	ret
booted:	.asciz "BOOTED\n"
bye:	.asciz "BYE\n"
drive:	.byte 0
.align 4
packet:	.byte 16, 0
	.word 1
	.word 0x8000, 0
	.quad 1
.org 510
.word 0xaa55
