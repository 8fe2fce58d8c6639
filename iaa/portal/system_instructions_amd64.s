#include "textflag.h"

// Go's assembler does not know ENQCMD and MOVDIR64B: they are written as bytes.
// Both take the destination in a register and the source at an address; here
// AX and (DX), hence ModRM 02. Source: Intel SDM, volume 2.
//
// SFENCE before either makes the stores to descriptor, buffers and completion
// record visible to the device: both instructions are weakly ordered.

// func enqcmd(destination, descriptor unsafe.Pointer) (accepted bool)
TEXT ·enqcmd(SB), NOSPLIT, $0-17
	MOVQ destination+0(FP), AX
	MOVQ descriptor+8(FP), DX
	SFENCE
	BYTE $0xF2; BYTE $0x0F; BYTE $0x38; BYTE $0xF8; BYTE $0x02 // ENQCMD AX, (DX)
	SETNE accepted+16(FP) // ZF is set if the queue did not take it
	RET

// func movdir64b(destination, descriptor unsafe.Pointer)
TEXT ·movdir64b(SB), NOSPLIT, $0-16
	MOVQ destination+0(FP), AX
	MOVQ descriptor+8(FP), DX
	SFENCE
	BYTE $0x66; BYTE $0x0F; BYTE $0x38; BYTE $0xF8; BYTE $0x02 // MOVDIR64B AX, (DX)
	RET

// func pause(count uint32)
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVL count+0(FP), CX
again:
	PAUSE
	SUBL $1, CX
	JHI  again
	RET

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	MOVL DX, edx+20(FP)
	RET

// func rdtscp() (aux uint32)
TEXT ·rdtscp(SB), NOSPLIT, $0-4
	RDTSCP
	MOVL CX, aux+0(FP)
	RET
