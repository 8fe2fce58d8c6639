// The other processors: how they are started, and what they do.

#include "layout.h"

#define trampolineLen 0x3d
// What is only known when it is copied: an address in it, and two operands
// behind it.
#define trampolineJump 0x37
#define trampolineCR3 0x40
#define trampolineGDT 0x48

#define APIC_COMMAND 0x300
#define SEND_INIT 0xc4500    // to all but self
#define SEND_START 0xc4608   // the same; begin at page 8, TRAMPOLINE
#define QUIET_TICKS 30       // so long nobody new: all are there

// runSMP: smp starts all other processors, answered by processors=N.
TEXT runSMP(SB), NOSPLIT|NOFRAME, $0
	MOVL $TRAMPOLINE, DI
	LEAQ trampoline(SB), SI
	MOVL $trampolineLen, CX
	REP; MOVSB
	MOVL $TRAMPOLINE, DI
	MOVQ CR3, AX
	MOVL AX, trampolineCR3(DI)
	MOVW $(4*8-1), trampolineGDT(DI)
	LEAQ gdt(R15), AX
	MOVL AX, (trampolineGDT+2)(DI)
	LEAQ otherProcessor(SB), AX
	MOVL AX, trampolineJump(DI)
	MOVQ $1, processors(R15)   // this one
	MOVL $1, AX
	CALL setTimer(SB)          // to wait with
	MOVL $LAPIC, BX
	MOVL $SEND_INIT, APIC_COMMAND(BX)
	MOVL $2, AX
	CALL waitTicks(SB)
	MOVL $SEND_START, APIC_COMMAND(BX)
more:
	MOVQ processors(R15), R13
	MOVL $QUIET_TICKS, AX
	CALL waitTicks(SB)
	CMPQ R13, processors(R15)
	JNE more
	MOVQ timerOn(R15), AX
	CALL setTimer(SB)
	SAY(textProcessors)
	MOVQ R13, AX
	CALL sayDecimal(SB)
	JMP sayLine(SB)

// waitTicks sleeps until AX ticks have come. Clobbers AX.
TEXT waitTicks(SB), NOSPLIT|NOFRAME, $0
	ADDQ tickCount(R15), AX
sleep:
	CLI
	CMPQ AX, tickCount(R15)
	JLS done
	STI
	HLT
	JMP sleep
done:
	STI
	RET

// otherProcessor is where a started processor arrives in long mode: it counts
// itself and sleeps. It has no stack and needs none.
TEXT otherProcessor(SB), NOSPLIT|NOFRAME, $0
	MOVL $STATE, R15
	LOCK
	INCQ processors(R15)
forever:
	CLI
	HLT
	JMP forever

// trampoline is 16-bit code, which Go's assembler does not know: a processor
// starts in real mode, at TRAMPOLINE, and goes to long mode in one step.
TEXT trampoline(SB), NOSPLIT|NOFRAME, $0
	BYTE $0xfa                                     // 00 cli
	BYTE $0x31; BYTE $0xc0                         // 01 xor ax, ax
	BYTE $0x8e; BYTE $0xd8                         // 03 mov ds, ax
	BYTE $0x66; BYTE $0x0f; BYTE $0x01; BYTE $0x16 // 05 lgdt [TRAMPOLINE+trampolineGDT]
	WORD $(TRAMPOLINE+trampolineGDT)
	BYTE $0x66; BYTE $0xb8; LONG $0x20             // 0b mov eax, PAE
	BYTE $0x0f; BYTE $0x22; BYTE $0xe0             // 11 mov cr4, eax
	BYTE $0x66; BYTE $0xa1                         // 14 mov eax, [TRAMPOLINE+trampolineCR3]
	WORD $(TRAMPOLINE+trampolineCR3)
	BYTE $0x0f; BYTE $0x22; BYTE $0xd8             // 18 mov cr3, eax
	BYTE $0x66; BYTE $0xb9; LONG $0xc0000080       // 1b mov ecx, EFER
	BYTE $0x66; BYTE $0xb8; LONG $0x100            // 21 mov eax, LME
	BYTE $0x66; BYTE $0x31; BYTE $0xd2             // 27 xor edx, edx
	BYTE $0x0f; BYTE $0x30                         // 2a wrmsr
	BYTE $0x66; BYTE $0xb8; LONG $0x80000011       // 2c mov eax, PG|ET|PE
	BYTE $0x0f; BYTE $0x22; BYTE $0xc0             // 32 mov cr0, eax
	BYTE $0x66; BYTE $0xea                         // 35 jmp CODE64:otherProcessor
	LONG $0; WORD $CODE64                          // 37 its address is filled in
