// How the guest begins: from the first instruction to the line that says ready.

#include "layout.h"

// start is the first byte of the image. The loader has done what Linux's 64-bit
// boot protocol asks for: long mode, the first 4 GiB mapped to themselves,
// interrupts off, RSI = zero page. Nothing else is relied on, not even a stack.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	CLI
	CLD
	MOVL $STACK_TOP, SP
	MOVL $STATE, R15           // stays so, except where said otherwise

	MOVQ R15, DI               // all variables begin as zero
	XORL AX, AX
	MOVL $(4096/8), CX
	MOVQ SI, BX                // zero page
	REP; STOSQ

	MOVL zeroCommandLine(BX), AX
	MOVQ AX, commandLine(R15)
	CALL segments(SB)
	CALL serialSetUp(SB)       // from here on errors can be told
	CALL interruptsSetUp(SB)
	CALL findMemory(SB)        // takes the zero page in BX
	CALL readOptions(SB)
	CALL checkMemory(SB)
	CALL buildTable(SB)
	CALL sayReady(SB)
	STI
	JMP commandLoop(SB)

// segments loads a GDT of our own: that of the loader lies in memory that we
// do not own. CS keeps its selector and needs no far jump.
TEXT segments(SB), NOSPLIT|NOFRAME, $0
	MOVQ $0x00af9b000000ffff, AX  // code, 64 bit, present, accessed
	MOVQ AX, (gdt+CODE64)(R15)
	MOVQ $0x00cf93000000ffff, AX  // data, writable, present, accessed
	MOVQ AX, (gdt+DATA)(R15)
	MOVW $(4*8-1), descriptor(R15)
	LEAQ gdt(R15), AX
	MOVQ AX, (descriptor+2)(R15)
	LGDT descriptor(R15)
	MOVL $DATA, AX
	MOVW AX, DS
	MOVW AX, ES
	MOVW AX, SS
	RET

// findMemory looks in the e820 table of the zero page (BX) for the RAM that
// holds the image, and stores where it ends. Nothing found leaves 0.
TEXT findMemory(SB), NOSPLIT|NOFRAME, $0
	MOVBLZX zeroE820Count(BX), CX
	LEAQ zeroE820(BX), SI      // address, length, type: 8 + 8 + 4 bytes
	CMPL CX, $E820_MAX
	JLS next
	MOVL $E820_MAX, CX
next:
	DECL CX
	JLT done
	CMPL 16(SI), $E820_RAM
	JNE skip
	MOVQ 0(SI), AX
	CMPQ AX, $MIB              // begins above the image?
	JHI skip
	ADDQ 8(SI), AX
	CMPQ AX, memoryTop(R15)
	JLS skip
	MOVQ AX, memoryTop(R15)
skip:
	ADDQ $20, SI
	JMP next
done:
	RET

// readOptions finds mib=N and echo among the words of the command line; other
// words are not ours. A number that is none becomes 0, which checkMemory
// refuses.
TEXT readOptions(SB), NOSPLIT|NOFRAME, $0
	MOVQ $MIB_DEFAULT, mib(R15)
	MOVQ commandLine(R15), SI
	TESTQ SI, SI
	JEQ done
word:
	MOVBLZX (SI), AX
	CMPB AX, $' '
	JNE letters
	INCQ SI
	JMP word
letters:
	TESTB AX, AX
	JEQ done
	CMPL (SI), $0x3d62696d     // "mib=", the lowest byte first
	JEQ size
	CMPL (SI), $0x6f686365     // "echo"
	JNE rest
	MOVQ $1, echo(R15)
	JMP rest
size:
	ADDQ $4, SI
	CALL parseNumber(SB)       // value in AX, SI behind it
	JEQ number
	XORL AX, AX
number:
	MOVQ AX, mib(R15)
rest:
	MOVBLZX (SI), AX
	TESTB AX, AX
	JEQ done
	CMPB AX, $' '
	JEQ word
	INCQ SI
	JMP rest
done:
	RET

// checkMemory ends the guest in order, with an error, unless the table fits.
TEXT checkMemory(SB), NOSPLIT|NOFRAME, $0
	MOVQ mib(R15), AX
	LEAQ -1(AX), DX
	CMPQ DX, $MIB_MAX          // 0 has become the largest number
	JCC range
	LEAQ TABLE_MIB(AX), DX
	SHLQ $20, DX
	CMPQ DX, memoryTop(R15)
	JHI small
	RET
range:
	SAY(textErrorRange)
	CALL sayLine(SB)
	JMP endInOrder(SB)
small:
	SAY(textErrorMemory)
	MOVQ mib(R15), AX
	ADDQ $TABLE_MIB, AX
	CALL sayDecimal(SB)
	SAY(textErrorMemoryHas)
	MOVQ memoryTop(R15), AX
	SHRQ $20, AX
	CALL sayDecimal(SB)
	SAY(textMiB)
	CALL sayLine(SB)
	JMP endInOrder(SB)

// sayReady prints the line that says that commands are taken.
TEXT sayReady(SB), NOSPLIT|NOFRAME, $0
	SAY(textReady)
	MOVQ pageCount(R15), AX
	IMULQ $ENTRIES_PER_PAGE, AX
	CALL sayDecimal(SB)
	SAY(textEntriesIn)
	MOVQ mib(R15), AX
	CALL sayDecimal(SB)
	SAY(textMiBSum)
	MOVQ tableSum(R15), AX
	CALL sayHex(SB)
	JMP sayLine(SB)

// endInOrder asks the keyboard controller to reset the machine, as Linux with
// reboot=k does; a launcher takes it as the end of the guest.
TEXT endInOrder(SB), NOSPLIT|NOFRAME, $0
	CLI
	OUT(KEYBOARD_COMMAND, 0xfe)
forever:
	HLT
	JMP forever
