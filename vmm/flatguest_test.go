//go:build linux && amd64

package vmm

import "slices"

// Guests of a few instructions, as bytes. They run at 1 MiB in 64-bit mode with
// all memory mapped to itself.

func code(parts ...[]byte) []byte { return slices.Concat(parts...) }

// say writes text to the console, with one string instruction.
func say(text string) []byte {
	n := byte(len(text))
	return code([]byte{
		0x48, 0x8d, 0x35, 0x0e, 0, 0, 0, // lea rsi, [rip+14]
		0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
		0xb9, n, 0, 0, 0, // mov ecx, n
		0xf3, 0x6e, // rep outsb
		0xeb, n, // jmp behind the text
	}, []byte(text))
}

var (
	// reset pulses the reset line by the keyboard controller.
	reset = []byte{0xb0, 0xfe, 0xe6, 0x64} // mov al, 0xfe; out 0x64, al
	// halt waits for interrupts, which are off.
	halt = []byte{0xf4, 0xeb, 0xfd} // hlt; jmp to it
	// spin never leaves.
	spin = []byte{0xeb, 0xfe} // jmp to itself
	// crash has no handler for the exception that it raises, nor for those that
	// follow from it.
	crash = []byte{0x0f, 0x0b} // ud2
	// poke writes where nothing is, in the hole.
	poke = []byte{0xb8, 0, 0, 0, 0xe0, 0xc6, 0x00, 1} // mov eax, 0xe0000000; mov byte [rax], 1
	// stray goes on there, and KVM has no instruction to run.
	stray = []byte{0xb8, 0, 0, 0, 0xe0, 0xff, 0xe0} // mov eax, 0xe0000000; jmp rax
	// peek reads there, and writes what it got to the console.
	peek = []byte{
		0xb8, 0, 0, 0, 0xe0, // mov eax, 0xe0000000
		0x8a, 0x00, // mov al, [rax]
		0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
		0xee, // out dx, al
	}
	// turnOff writes type 5 with the enabling bit to the sleep control register.
	turnOff = []byte{
		0xba, 0x00, 0x06, 0, 0, // mov edx, 0x600
		0xb0, 5<<2 | 1<<5, // mov al, ...
		0xee, // out dx, al
	}
)

// highEcho needs memory beyond the hole. It has the page at 3 GiB be the one at
// 4 GiB, writes "H" there, says "w", waits for a key, and says what it finds there.
var highEcho = []byte{
	0xc7, 0x04, 0x25, 0x00, 0xe0, 0, 0, 0x83, 0, 0, 0, // mov dword [0xe000], 0x83
	0xc7, 0x04, 0x25, 0x04, 0xe0, 0, 0, 1, 0, 0, 0, // mov dword [0xe004], 1
	0x0f, 0x20, 0xd8, // mov rax, cr3
	0x0f, 0x22, 0xd8, // mov cr3, rax
	0xbb, 0, 0, 0, 0xc0, // mov ebx, 0xc0000000
	0xc6, 0x03, 'H', // mov byte [rbx], 'H'
	0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
	0xb0, 'w', // mov al, 'w'
	0xee,                   // out dx, al
	0xba, 0xfd, 0x03, 0, 0, // mov edx, 0x3fd
	// wait:
	0xec,    // in al, dx
	0xa8, 1, // test al, 1
	0x74, 0xfb, // jz wait
	0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
	0x8a, 0x03, // mov al, [rbx]
	0xee,       // out dx, al
	0xeb, 0xfe, // jmp to itself
}

const (
	// echoPages are pages that the echo guest fills when it begins; their first
	// bytes are 1, 2, ...
	echoPages = 16
	echoSum   = echoPages * (echoPages + 1) / 2
)

// echo fills some pages, says "R", and then answers each byte of input with that
// byte, plus how many there were, plus the sum of these pages: what it says shows
// whether all of its memory is there. Each answer also writes one more page.
var echo = []byte{
	0xbf, 0, 0, 0x30, 0, // mov edi, 0x300000
	0xb9, echoPages, 0, 0, 0, // mov ecx, 16
	0xb0, 1, // mov al, 1
	// fill:
	0x88, 0x07, // mov [rdi], al
	0xfe, 0xc0, // inc al
	0x81, 0xc7, 0, 0x10, 0, 0, // add edi, 0x1000
	0xff, 0xc9, // dec ecx
	0x75, 0xf2, // jnz fill
	0xb0, 'R', // mov al, 'R'
	0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
	0xee,                // out dx, al
	0xbb, 0, 0, 0x20, 0, // mov ebx, 0x200000
	// next:
	0xba, 0xfd, 0x03, 0, 0, // mov edx, 0x3fd
	// wait:
	0xec,    // in al, dx
	0xa8, 1, // test al, 1
	0x74, 0xfb, // jz wait
	0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
	0xec,       // in al, dx
	0xff, 0x03, // inc dword [rbx]
	0x02, 0x03, // add al, [rbx]
	0x8b, 0x3b, // mov edi, [rbx]
	0xc1, 0xe7, 12, // shl edi, 12
	0x88, 0x84, 0x1f, 0, 0, 0x20, 0, // mov [rdi+rbx+0x200000], al
	0xbf, 0, 0, 0x30, 0, // mov edi, 0x300000
	0xb9, echoPages, 0, 0, 0, // mov ecx, 16
	// sum:
	0x02, 0x07, // add al, [rdi]
	0x81, 0xc7, 0, 0x10, 0, 0, // add edi, 0x1000
	0xff, 0xc9, // dec ecx
	0x75, 0xf4, // jnz sum
	0xee,       // out dx, al
	0xeb, 0xc5, // jmp next
}

// echoed is the answer to the n-th byte of input, counted from 1.
func echoed(in byte, n int) byte { return in + byte(n) + echoSum%256 }

// wakeAll has the first vCPU start all others, as kernels do. Each of them
// counts itself at 0x5000, in 16-bit code; the first waits until there are n,
// says so and ends.
func wakeAll(n byte) []byte {
	const realModeAt = 0x80 // in the image
	boot := code([]byte{
		0xbe, realModeAt, 0, 0x10, 0, // mov esi, 0x100080
		0xbf, 0, 0, 0x01, 0, // mov edi, 0x10000
		0xb9, 32, 0, 0, 0, // mov ecx, 32
		0xf3, 0xa4, // rep movsb
		0xb8, 0x00, 0x03, 0xe0, 0xfe, // mov eax, 0xfee00300: interrupt command
		0xc7, 0x00, 0x00, 0x45, 0x0c, 0x00, // mov dword [rax], 0xc4500: reset all others
		0xc7, 0x00, 0x10, 0x46, 0x0c, 0x00, // mov dword [rax], 0xc4610: start them at 0x10000
		0x80, 0x3c, 0x25, 0x00, 0x50, 0x00, 0x00, n, // cmp byte [0x5000], n
		0x75, 0xf6, // jne to it
		0xb0, '0' + n, // mov al, '0' + n
		0xba, 0xf8, 0x03, 0, 0, // mov edx, 0x3f8
		0xee, // out dx, al
	}, reset, halt)
	return code(boot, make([]byte, realModeAt-len(boot)), []byte{
		0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
		0xf0, 0xfe, 0x06, 0x00, 0x50, // lock inc byte [0x5000]
		0xf4, 0xeb, 0xfd, // hlt; jmp to it
		31: 0,
	})
}
