// Exceptions and interrupts: who handles what, and how one gets back.

#include "layout.h"

// interruptsSetUp fills the IDT and lets keyboard and serial port through the
// interrupt controllers. Interrupts themselves stay off until STI.
TEXT interruptsSetUp(SB), NOSPLIT|NOFRAME, $0
	XORL CX, CX                // vectors 0 to 31: exceptions
	LEAQ exceptionStubs(SB), DX
exceptions:
	MOVL CX, AX
	CALL setGate(SB)
	ADDQ $5, DX                // a CALL is 5 bytes
	INCL CX
	CMPL CX, $32
	JNE exceptions
	LEAQ onNothing(SB), DX     // all others: ignored
others:
	MOVL CX, AX
	CALL setGate(SB)
	INCL CX
	CMPL CX, $256
	JNE others
	MOVL $VECTOR_TIMER, AX
	LEAQ onTimer(SB), DX
	CALL setGate(SB)
	MOVL $VECTOR_KEYBOARD, AX
	LEAQ onKeyboard(SB), DX
	CALL setGate(SB)
	MOVL $VECTOR_SERIAL, AX
	LEAQ onSerial(SB), DX
	CALL setGate(SB)
	MOVW $(256*16-1), descriptor(R15)
	MOVQ $IDT, (descriptor+2)(R15)
	LIDT descriptor(R15)
	JMP controllersSetUp(SB)

// setGate makes DX the handler of vector AX. Clobbers AX and BP.
TEXT setGate(SB), NOSPLIT|NOFRAME, $0
	SHLL $4, AX
	ADDL $IDT, AX
	MOVQ DX, BP
	MOVW BP, 0(AX)             // handler, bits 0-15
	MOVW $CODE64, 2(AX)
	MOVW $0x8e00, 4(AX)        // present, interrupt gate: IF is cleared
	SHRQ $16, BP
	MOVW BP, 6(AX)             // bits 16-31
	SHRQ $16, BP
	MOVQ BP, 8(AX)             // bits 32-63, and a reserved zero
	RET

// controllersSetUp moves the lines of the two 8259 from vectors that mean
// exceptions to 0x20, lets keyboard and serial port through, and makes the
// local APIC pass on what comes from the 8259 (its line LINT0 as ExtINT).
TEXT controllersSetUp(SB), NOSPLIT|NOFRAME, $0
	OUT(PIC1, 0x11)            // initialize, four words follow
	OUT(PIC2, 0x11)
	OUT(PIC1_MASK, VECTOR_TIMER)
	OUT(PIC2_MASK, 0x28)
	OUT(PIC1_MASK, 0x04)       // the second one hangs on line 2
	OUT(PIC2_MASK, 0x02)
	OUT(PIC1_MASK, 0x01)       // 8086 mode
	OUT(PIC2_MASK, 0x01)
	OUT(PIC1_MASK, IRQS_OFF)
	OUT(PIC2_MASK, 0xff)
	MOVL $LAPIC, AX
	MOVL $0x1ff, 0xf0(AX)      // enabled, spurious interrupts at 255
	MOVL $0x700, 0x350(AX)     // LINT0: ExtINT, not masked
	OUT(KEYBOARD_COMMAND, 0xae) // keyboard on
	OUT(KEYBOARD_COMMAND, 0x60) // the next byte is the configuration:
	OUT(KEYBOARD_DATA, 0x45)   // interrupt, translation to set 1
	RET

// A handler saves what it uses and has R15 for itself, so that the interrupted
// code may use all registers.
#define ENTER PUSHQ AX; PUSHQ BX; PUSHQ DX; PUSHQ R15; MOVL $STATE, R15
// The processor has pushed, above those four:
#define savedIP 32
#define savedFlags 48
#define savedSP 56
// LEAVE does what IRETQ does. KVM runs guests on some hosts instruction by
// instruction, and its interpreter does not know IRETQ in long mode. As nothing
// but IP, flags and SP changes, we can do without: put flags and IP right
// below the old stack pointer, go there, and pop them. The two bytes are POPQ SP
// and POPFQ: written so, the assembler would find more POPs than PUSHes.
#define LEAVE \
	MOVQ savedSP(SP), BX; \
	MOVQ savedIP(SP), AX; \
	MOVQ AX, -8(BX); \
	MOVQ savedFlags(SP), AX; \
	MOVQ AX, -16(BX); \
	SUBQ $16, BX; \
	MOVQ BX, savedIP(SP); \
	POPQ R15; \
	POPQ DX; \
	POPQ BX; \
	POPQ AX; \
	BYTE $0x5c; \
	BYTE $0x9d; \
	RET
// END_OF_INTERRUPT tells the first 8259 that the next one may come.
#define END_OF_INTERRUPT OUT(PIC1, 0x20)

// onTimer counts.
TEXT onTimer(SB), NOSPLIT|NOFRAME, $0
	ENTER
	INCQ tickCount(R15)
	END_OF_INTERRUPT
	LEAVE

// onSerial only ends the HLT of the command loop, which reads the port: what it
// has not read waits in the port, and whoever sends too fast waits too.
TEXT onSerial(SB), NOSPLIT|NOFRAME, $0
	ENTER
	END_OF_INTERRUPT
	LEAVE

// onNothing is for spurious interrupts, which are not acknowledged.
TEXT onNothing(SB), NOSPLIT|NOFRAME, $0
	ENTER
	LEAVE

// onKeyboard knows three keys, and ends the guest when all are down. Scancodes
// of set 1: bit 7 is set when a key is released.
TEXT onKeyboard(SB), NOSPLIT|NOFRAME, $0
	ENTER
	XORL AX, AX
	MOVL $KEYBOARD_DATA, DX
	INB
	MOVL AX, BX
	ANDL $0x7f, BX
	MOVL $1, DX
	CMPL BX, $0x1d             // Ctrl
	JEQ modifier
	MOVL $2, DX
	CMPL BX, $0x38             // Alt
	JEQ modifier
	CMPL AX, $0x53             // Del pressed
	JNE done
	CMPQ keysDown(R15), $3
	JNE done
	SAY(textCtrlAltDel)
	CALL sayLine(SB)
	JMP endInOrder(SB)
modifier:
	ORQ DX, keysDown(R15)
	TESTL $0x80, AX
	JEQ done
	XORQ DX, keysDown(R15)
done:
	END_OF_INTERRUPT
	LEAVE

// exceptionStubs has one CALL of 5 bytes for each exception; the address that
// it pushes tells which one it was.
#define FOUR CALL onException(SB); CALL onException(SB); CALL onException(SB); CALL onException(SB)
TEXT exceptionStubs(SB), NOSPLIT|NOFRAME, $0
	FOUR; FOUR; FOUR; FOUR
	FOUR; FOUR; FOUR; FOUR

// onException prints what happened, then ends the guest. On the stack: the
// address from the stub, an error code for some vectors, IP, CS, flags, SP, SS.
TEXT onException(SB), NOSPLIT|NOFRAME, $0
	POPQ AX
	LEAQ exceptionStubs(SB), BX
	SUBQ BX, AX
	XORL DX, DX
	MOVL $5, CX
	DIVL CX
	LEAQ -1(AX), R12           // vector
	XORL R13, R13              // error code
	MOVL $0x60227d00, CX       // vectors that push one: 8, 10-14, 17, 21, 29, 30
	BTL R12, CX
	JCC plain
	POPQ R13
plain:
	MOVL $STATE, R15
	MOVQ $0, outLen(R15)       // an unfinished answer is not sent
	SAY(textException)
	MOVQ R12, AX
	CALL sayDecimal(SB)
	SAY(textErrorCode)
	MOVQ R13, AX
	CALL sayHex(SB)
	SAY(textAt)
	MOVQ 0(SP), AX
	CALL sayHex(SB)
	SAY(textAddress)
	MOVQ CR2, AX
	CALL sayHex(SB)
	CALL sayLine(SB)
	JMP endInOrder(SB)
