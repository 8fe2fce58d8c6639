// The command loop, and one routine for each command.

#include "layout.h"

// commandLoop collects bytes into a line and runs it, forever. Between bytes the
// processor sleeps.
TEXT commandLoop(SB), NOSPLIT|NOFRAME, $0
next:
	CALL nextByte(SB)
	CMPL AX, $'\r'
	JEQ end
	CMPL AX, $'\n'
	JEQ end
	CMPL AX, $0x08             // backspace
	JEQ rubOut
	CMPL AX, $0x7f             // delete, which terminals send for it
	JEQ rubOut
	MOVQ lineLen(R15), BX
	CMPQ BX, $LINE_MAX
	JHI next                   // too long already: the rest is dropped
	INCQ lineLen(R15)
	CMPQ BX, $LINE_MAX
	JEQ next
	MOVB AX, line(R15)(BX*1)
	CALL echoByte(SB)
	JMP next
rubOut:
	MOVQ lineLen(R15), BX
	DECQ BX
	JLT next
	MOVQ BX, lineLen(R15)
	CALL echoRubOut(SB)
	JMP next
end:
	CALL runLine(SB)
	JMP next

// nextByte waits for a byte and returns it in AX. Interrupts must be off between
// looking and sleeping, or the interrupt that should end the sleep could come
// before it; STI takes effect after the instruction behind it, so that HLT
// sleeps before the interrupt comes.
TEXT nextByte(SB), NOSPLIT|NOFRAME, $0
	MOVL $COM1_LSR, DX
look:
	CLI
	INB
	TESTB $LSR_RECEIVED, AX
	JNE take
	STI
	HLT
	JMP look
take:
	STI
	XORL AX, AX
	MOVL $COM1_DATA, DX
	INB
	RET

// echoByte sends AX back if the user wants to see what is typed.
TEXT echoByte(SB), NOSPLIT|NOFRAME, $0
	CMPQ echo(R15), $0
	JEQ done
	CALL sayByte(SB)
	JMP send(SB)
done:
	RET

// echoRubOut takes the last byte away from the terminal.
TEXT echoRubOut(SB), NOSPLIT|NOFRAME, $0
	CMPQ echo(R15), $0
	JEQ done
	SAY(textRubOut)
	JMP send(SB)
done:
	RET

// runLine runs the line, which then is empty. An empty one is no command: a
// terminal may end lines with two bytes.
TEXT runLine(SB), NOSPLIT|NOFRAME, $0
	MOVQ lineLen(R15), BX
	MOVQ $0, lineLen(R15)
	TESTQ BX, BX
	JEQ done
	CMPQ echo(R15), $0
	JEQ quiet
	CALL sayLine(SB)
quiet:
	CMPQ BX, $LINE_MAX
	JHI long
	MOVB $0, line(R15)(BX*1)
	JMP runCommand(SB)
long:
	SAY(textErrorLong)
	JMP sayLine(SB)
done:
	RET

// COMMAND runs routine if the line's first word is text. The jump is over the
// next instruction; routine returns to the caller of runCommand.
#define COMMAND(text, routine) \
	LEAQ text(SB), SI; \
	CALL isCommand(SB); \
	JNE 2(PC); \
	JMP routine(SB)

// runCommand finds out which command the line is. Its routine gets SI = what
// follows the word and the spaces behind it.
TEXT runCommand(SB), NOSPLIT|NOFRAME, $0
	COMMAND(commandGet, runGet)
	COMMAND(commandSum, runSum)
	COMMAND(commandStat, runStat)
	COMMAND(commandWrite, runWrite)
	COMMAND(commandVerify, runVerify)
	COMMAND(commandTick, runTick)
	COMMAND(commandEcho, runEcho)
	COMMAND(commandQuit, runQuit)
	COMMAND(commandCrash, runCrash)
	COMMAND(commandFault, runFault)
	COMMAND(commandPoke, runPoke)
	COMMAND(commandPeek, runPeek)
	COMMAND(commandSpin, runSpin)
	COMMAND(commandSMP, runSMP)
	COMMAND(commandHelp, runHelp)
	SAY(textErrorUnknown)
	JMP sayLine(SB)

// isCommand compares the first word of the line with the text at SI: equal flag,
// and SI = the argument. Clobbers CX, DI.
TEXT isCommand(SB), NOSPLIT|NOFRAME, $0
	MOVWLZX (SI), CX
	ADDQ $2, SI
	LEAQ line(R15), DI
	REP; CMPSB
	JNE no
	CMPB (DI), $0              // the word must end here
	JEQ yes
	CMPB (DI), $' '
	JNE no
space:
	INCQ DI
	CMPB (DI), $' '
	JEQ space
yes:
	MOVQ DI, SI
	CMPQ SI, SI
no:
	RET

// parseNumber reads a decimal number, or a hexadecimal one with 0x, at SI: equal
// flag, AX = value, SI behind it; or not equal. It must end with the line or a
// space. Clobbers BX, CX, DX.
TEXT parseNumber(SB), NOSPLIT|NOFRAME, $0
	XORL AX, AX
	MOVL $10, CX               // base
	CMPW (SI), $0x7830         // "0x"
	JNE first
	MOVL $16, CX
	ADDQ $2, SI
first:
	CALL digitValue(SB)        // there must be one digit at least
	CMPL BX, CX
	JCC bad
next:
	MULQ CX                    // carry if the upper half, DX, is not zero
	JCS bad
	ADDQ BX, AX
	JCS bad
	INCQ SI
	CALL digitValue(SB)
	CMPL BX, CX
	JCS next
	CMPB (SI), $0
	JEQ done
	CMPB (SI), $' '
done:
	RET
bad:
	TESTQ SP, SP               // not equal
	RET

// digitValue makes BX the value of the digit at SI, or 255.
TEXT digitValue(SB), NOSPLIT|NOFRAME, $0
	MOVBLZX (SI), BX
	SUBL $'0', BX
	CMPL BX, $10
	JCS done
	ADDL $'0', BX
	ORL $0x20, BX              // lower case
	SUBL $'a', BX
	CMPL BX, $6
	JCC none
	ADDL $10, BX
done:
	RET
none:
	MOVL $255, BX
	RET

// parseArgument reads the number that is the whole argument: equal flag and AX;
// otherwise it has told the user.
TEXT parseArgument(SB), NOSPLIT|NOFRAME, $0
	CALL parseNumber(SB)
	JNE bad
space:
	CMPB (SI), $0
	JEQ done
	INCQ SI
	CMPB -1(SI), $' '
	JEQ space
bad:
	SAY(textErrorNumber)
	CALL sayLine(SB)
	TESTQ SP, SP
done:
	RET

// runGet: get KEY, answered by KEY=VALUE.
TEXT runGet(SB), NOSPLIT|NOFRAME, $0
	CALL parseArgument(SB)
	JNE done
	MOVQ AX, R13
	CALL lookUp(SB)
	JNE absent
	INCQ lookupCount(R15)
	MOVQ AX, R14
	MOVQ R13, AX
	CALL sayDecimal(SB)
	SAY(textEquals)
	MOVQ R14, AX
	CALL sayHex(SB)
	JMP sayLine(SB)
absent:
	SAY(textErrorAbsent)
	MOVQ R13, AX
	CALL sayDecimal(SB)
	JMP sayLine(SB)
done:
	RET

// runSum: sum, answered by sum=S. Reads every page of the table.
TEXT runSum(SB), NOSPLIT|NOFRAME, $0
	CALL sumTable(SB)
	SAY(textSum)
	MOVQ R13, AX
	CALL sayHex(SB)
	JMP sayLine(SB)

// runStat: stat, answered by lookups=L written=W ticks=T.
TEXT runStat(SB), NOSPLIT|NOFRAME, $0
	SAY(textLookups)
	MOVQ lookupCount(R15), AX
	CALL sayDecimal(SB)
	SAY(textWritten)
	MOVQ writeCount(R15), AX
	CALL sayDecimal(SB)
	SAY(textTicks)
	MOVQ tickCount(R15), AX
	CALL sayDecimal(SB)
	JMP sayLine(SB)

// runWrite: write N, answered by written=W, all writes so far.
TEXT runWrite(SB), NOSPLIT|NOFRAME, $0
	CALL parseArgument(SB)
	JNE done
	CMPQ AX, pageCount(R15)
	JHI many
	CALL stampPages(SB)
	SAY(textWrote)
	MOVQ writeCount(R15), AX
	CALL sayDecimal(SB)
	JMP sayLine(SB)
many:
	SAY(textErrorMany)
	MOVQ pageCount(R15), AX
	CALL sayDecimal(SB)
	JMP sayLine(SB)
done:
	RET

// runVerify: verify, answered by verified=P damaged=D. Reads every byte.
TEXT runVerify(SB), NOSPLIT|NOFRAME, $0
	CALL checkTable(SB)
	SAY(textVerified)
	MOVQ pageCount(R15), AX
	CALL sayDecimal(SB)
	SAY(textDamaged)
	MOVQ R13, AX
	CALL sayDecimal(SB)
	TESTQ R13, R13
	JEQ good
	SAY(textLastAt)
	MOVQ R14, AX
	SHLQ $12, AX
	ADDQ $TABLE, AX
	CALL sayHex(SB)
good:
	JMP sayLine(SB)

// parseSwitch reads on or off: equal flag and AX = 1 or 0; otherwise it has told
// the user.
TEXT parseSwitch(SB), NOSPLIT|NOFRAME, $0
	MOVL $1, AX
	MOVL (SI), DX
	ANDL $0xffffff, DX
	CMPL DX, $0x6e6f           // "on" and the zero behind it
	JEQ done
	XORL AX, AX
	CMPL (SI), $0x66666f       // "off" and the zero
	JEQ done
	SAY(textErrorSwitch)
	CALL sayLine(SB)
	TESTQ SP, SP
done:
	RET

// runTick: tick on or tick off, answered by ok. Starts or stops the timer.
TEXT runTick(SB), NOSPLIT|NOFRAME, $0
	CALL parseSwitch(SB)
	JNE done
	MOVQ AX, timerOn(R15)
	CALL setTimer(SB)
	SAY(textOK)
	JMP sayLine(SB)
done:
	RET

// setTimer lets 100 ticks a second through if AX is not zero, or none.
TEXT setTimer(SB), NOSPLIT|NOFRAME, $0
	TESTQ AX, AX
	JEQ off
	OUT(PIT_MODE, 0x34)        // channel 0, two bytes, rate generator
	OUT(PIT_CHANNEL0, (PIT_DIVISOR&0xff))
	OUT(PIT_CHANNEL0, (PIT_DIVISOR>>8))
	OUT(PIC1_MASK, IRQS_TICK)
	RET
off:
	OUT(PIC1_MASK, IRQS_OFF)
	OUT(PIT_MODE, 0x30)        // a count that is never loaded: it stands still
	RET

// runEcho: echo on or echo off, answered by ok.
TEXT runEcho(SB), NOSPLIT|NOFRAME, $0
	CALL parseSwitch(SB)
	JNE done
	MOVQ AX, echo(R15)
	SAY(textOK)
	JMP sayLine(SB)
done:
	RET

// runQuit: quit ends the guest in order.
TEXT runQuit(SB), NOSPLIT|NOFRAME, $0
	SAY(textBye)
	CALL sayLine(SB)
	JMP endInOrder(SB)

// runCrash: crash makes a triple fault: an exception while there is no IDT.
TEXT runCrash(SB), NOSPLIT|NOFRAME, $0
	SAY(textCrashing)
	CALL sayLine(SB)
	MOVQ $0, descriptor(R15)
	MOVQ $0, (descriptor+8)(R15)
	LIDT descriptor(R15)
	JMP runFault(SB)

// runFault: fault makes one exception, a page fault, which is reported.
TEXT runFault(SB), NOSPLIT|NOFRAME, $0
	MOVQ $0x123456789000, BX   // beyond what is mapped
	MOVQ (BX), AX
	RET

// runPoke: poke writes to an address where there is neither RAM nor a device.
TEXT runPoke(SB), NOSPLIT|NOFRAME, $0
	SAY(textPoking)
	CALL sayLine(SB)
	MOVL $NOWHERE, BX
	MOVQ BX, (BX)
	SAY(textSurvived)
	JMP sayLine(SB)

// runPeek: peek reads there, answered by peek=VALUE.
TEXT runPeek(SB), NOSPLIT|NOFRAME, $0
	MOVL $NOWHERE, BX
	MOVQ (BX), R13
	SAY(textPeek)
	MOVQ R13, AX
	CALL sayHex(SB)
	JMP sayLine(SB)

// runSpin: spin never comes back and hears nothing.
TEXT runSpin(SB), NOSPLIT|NOFRAME, $0
	SAY(textSpinning)
	CALL sayLine(SB)
	CLI
forever:
	PAUSE
	JMP forever

// runHelp: help lists the commands.
TEXT runHelp(SB), NOSPLIT|NOFRAME, $0
	SAY(textHelp)
	JMP sayLine(SB)
