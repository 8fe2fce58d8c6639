// The serial port: composing answers and sending them.

#include "layout.h"

// serialSetUp: 115200 baud, 8 bits, queues on, interrupt when data comes.
TEXT serialSetUp(SB), NOSPLIT|NOFRAME, $0
	OUT(COM1_LCR, 0x80)        // the next two are the divisor
	OUT(COM1_DATA, 1)
	OUT(COM1_IER, 0)
	OUT(COM1_LCR, 0x03)        // 8 bits, no parity
	OUT(COM1_FCR, 0x01)        // queues on, what waits in them stays
	OUT(COM1_MCR, 0x0b)        // DTR, RTS, OUT2: interrupts reach the 8259
	OUT(COM1_IER, 0x01)        // interrupt when data is received
	RET

// sayByte appends AX to the answer, unless it is full. Clobbers DI.
TEXT sayByte(SB), NOSPLIT|NOFRAME, $0
	MOVQ outLen(R15), DI
	CMPQ DI, $OUT_MAX
	JCC full
	MOVB AX, out(R15)(DI*1)
	INCQ outLen(R15)
full:
	RET

// sayText appends the text at SI: its length in two bytes, then its bytes.
// Clobbers AX, CX, SI, DI.
TEXT sayText(SB), NOSPLIT|NOFRAME, $0
	MOVWLZX (SI), CX
	ADDQ $2, SI
	MOVQ outLen(R15), DI
	LEAQ (DI)(CX*1), AX
	CMPQ AX, $OUT_MAX
	JHI full
	MOVQ AX, outLen(R15)
	LEAQ out(R15)(DI*1), DI
	REP; MOVSB
full:
	RET

// sayDecimal appends AX as a decimal number. Clobbers AX, CX, DX, SI, DI.
TEXT sayDecimal(SB), NOSPLIT|NOFRAME, $0
	LEAQ digitsEnd(R15), SI
	MOVL $10, CX
digit:
	XORL DX, DX
	DIVQ CX
	ADDL $'0', DX
	DECQ SI
	MOVB DX, (SI)
	TESTQ AX, AX
	JNE digit
	LEAQ digitsEnd(R15), CX
	SUBQ SI, CX
copy:
	MOVBLZX (SI), AX
	CALL sayByte(SB)
	INCQ SI
	DECQ CX
	JNE copy
	RET

// sayHex appends AX as 0x and 16 digits. Clobbers AX, CX, DX, SI, DI.
TEXT sayHex(SB), NOSPLIT|NOFRAME, $0
	MOVQ AX, DX
	SAY(text0x)
	MOVL $16, CX
digit:
	ROLQ $4, DX                // the highest digit first
	MOVL DX, AX
	ANDL $0xf, AX
	ADDL $'0', AX
	CMPL AX, $'9'
	JLS append
	ADDL $('a'-'0'-10), AX
append:
	CALL sayByte(SB)
	DECL CX
	JNE digit
	RET

// sayLine ends the answer's line and sends it.
TEXT sayLine(SB), NOSPLIT|NOFRAME, $0
	SAY(textNewline)
	JMP send(SB)

// send empties the answer into the serial port: whenever its queue is empty, as
// many bytes as the queue holds, with one instruction. Clobbers AX, CX, DX, SI,
// R8.
TEXT send(SB), NOSPLIT|NOFRAME, $0
	LEAQ out(R15), SI
	MOVQ outLen(R15), R8
piece:
	TESTQ R8, R8
	JEQ done
	MOVL $COM1_LSR, DX
wait:
	INB
	TESTB $LSR_FIFO_EMPTY, AX
	JNE ready
	PAUSE
	JMP wait
ready:
	MOVL $FIFO_BYTES, CX
	CMPQ R8, CX
	JCC whole
	MOVL R8, CX
whole:
	SUBQ CX, R8
	MOVL $COM1_DATA, DX
	REP; OUTSB
	JMP piece
done:
	MOVQ $0, outLen(R15)
	RET
