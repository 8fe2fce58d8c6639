// The hash table: building it, and what the commands ask of it.
//
// A page of the table is a bucket: four keys with their values, and filler
// that makes the page compress about as well as memory of real programs does.

#include "layout.h"

// mix is splitmix64: AX becomes its mixture. Clobbers DX and BP.
TEXT mix(SB), NOSPLIT|NOFRAME, $0
	MOVQ MIX_GAMMA, DX
	ADDQ DX, AX
	MOVQ AX, DX
	SHRQ $30, DX
	XORQ DX, AX
	MOVQ MIX_1, BP
	IMULQ BP, AX
	MOVQ AX, DX
	SHRQ $27, DX
	XORQ DX, AX
	MOVQ MIX_2, BP
	IMULQ BP, AX
	MOVQ AX, DX
	SHRQ $31, DX
	XORQ DX, AX
	RET

// fillSources makes the two sources of filler: hashed words, and prose that is
// repeated.
TEXT fillSources(SB), NOSPLIT|NOFRAME, $0
	MOVL $NOISE, DI
	MOVQ $NOISE_SEED, BX
noise:
	MOVQ BX, AX
	CALL mix(SB)
	MOVQ AX, (DI)
	INCQ BX
	ADDQ $8, DI
	CMPQ DI, $(NOISE+NOISE_SIZE+8*NOISE_WORDS)
	JNE noise
	MOVL $PROSE, DI
prose:
	LEAQ textProse(SB), SI
	MOVWLZX (SI), CX
	ADDQ $2, SI
	REP; MOVSB
	CMPQ DI, $(PROSE+PROSE_SIZE+8*PROSE_WORDS)
	JCS prose
	RET

// MIX is mix with its constants in R14, BP and R15: cheaper in a loop.
#define MIX \
	ADDQ R14, AX; \
	MOVQ AX, DX; SHRQ $30, DX; XORQ DX, AX; IMULQ BP, AX; \
	MOVQ AX, DX; SHRQ $27, DX; XORQ DX, AX; IMULQ R15, AX; \
	MOVQ AX, DX; SHRQ $31, DX; XORQ DX, AX

// ENTRY stores key BX and its value in slot n of page R12, adds the value to
// the sum, and goes on to the next key that lives here.
#define ENTRY(n) \
	MOVQ BX, (pageEntries+16*n)(R12); \
	MOVQ BX, AX; \
	MIX; \
	MOVQ AX, (pageEntries+16*n+8)(R12); \
	ADDQ AX, R13; \
	ADDQ R10, BX

// NOISE_OF makes SI the source of the noise of page number R9, PROSE_OF that of
// its prose.
#define NOISE_OF IMUL3Q $NOISE_STRIDE, R9, SI; ANDL $(NOISE_SIZE-1), SI; ADDL $NOISE, SI
#define PROSE_OF IMUL3Q $PROSE_STRIDE, R9, SI; ANDL $(PROSE_SIZE-1), SI; ADDL $PROSE, SI

// PAGE makes R12 the address of page number R9. NEXT_PAGE makes R9 the number
// of the page that follows in the order of building (R11 = stepMod, R10 =
// pageCount); its skip is over one instruction.
#define PAGE MOVQ R9, R12; SHLQ $12, R12; ADDQ $TABLE, R12
#define NEXT_PAGE ADDQ R11, R9; CMPQ R9, R10; JCS 2(PC); SUBQ R10, R9

// buildTable fills all pages, some 100 instructions each, because an interpreted
// guest takes a microsecond for one. Page order i holds the keys i, i+pageCount,
// i+2*pageCount and i+3*pageCount.
TEXT buildTable(SB), NOSPLIT|NOFRAME, $0
	CALL fillSources(SB)
	MOVQ mib(R15), R10
	SHLQ $8, R10               // 256 pages are 1 MiB
	MOVQ R10, pageCount(R15)
	MOVL $STEP, AX
	XORL DX, DX
	DIVQ R10
	MOVQ DX, R11
	MOVQ R11, stepMod(R15)
	XORL R8, R8                // order
	XORL R9, R9                // page number
	XORL R13, R13              // sum of all values
	MOVQ MIX_GAMMA, R14
	MOVQ MIX_1, BP
	MOVQ MIX_2, R15
page:
	PAGE
	MOVQ R8, pageOrder(R12)
	MOVQ $0, pageStamp(R12)
	MOVQ R8, BX
	ENTRY(0)
	ENTRY(1)
	ENTRY(2)
	ENTRY(3)
	NOISE_OF
	LEAQ pageNoise(R12), DI
	MOVL $NOISE_WORDS, CX
	REP; MOVSQ
	PROSE_OF
	LEAQ pageProse(R12), DI
	MOVL $PROSE_WORDS, CX
	REP; MOVSQ
	NEXT_PAGE
	INCQ R8
	CMPQ R8, R10
	JNE page
	MOVL $STATE, R15
	MOVQ R13, tableSum(R15)
	RET

// pageOfKey makes R12 the address of the page where key AX lives, if it exists.
// Clobbers AX, DX, R9, R10.
TEXT pageOfKey(SB), NOSPLIT|NOFRAME, $0
	MOVQ pageCount(R15), R10
	XORL DX, DX
	DIVQ R10
	MOVL $STEP, AX
	IMULQ DX, AX               // the remainder is below 2^20: no overflow
	XORL DX, DX
	DIVQ R10
	MOVQ DX, R9
	PAGE
	RET

// lookUp finds key AX: equal flag and value in AX, or not equal. Clobbers BX,
// CX, DX, R9, R10, R12.
TEXT lookUp(SB), NOSPLIT|NOFRAME, $0
	MOVQ AX, BX
	CALL pageOfKey(SB)
	MOVL $ENTRIES_PER_PAGE, CX
slot:
	CMPQ BX, pageEntries(R12)
	JEQ found
	ADDQ $16, R12
	DECL CX
	JNE slot
	TESTQ SP, SP               // not equal: SP is not zero
	RET
found:
	MOVQ (pageEntries+8)(R12), AX
	CMPQ AX, AX
	RET

// sumTable makes R13 the sum of all values and stamps: reads every page.
TEXT sumTable(SB), NOSPLIT|NOFRAME, $0
	XORL R13, R13
	MOVQ pageCount(R15), CX
	MOVL $TABLE, R12
page:
	ADDQ pageStamp(R12), R13
	ADDQ (pageEntries+8)(R12), R13
	ADDQ (pageEntries+24)(R12), R13
	ADDQ (pageEntries+40)(R12), R13
	ADDQ (pageEntries+56)(R12), R13
	ADDQ $4096, R12
	DECQ CX
	JNE page
	RET

// stampPages writes AX pages. Write number w goes to the page of key w modulo
// pageCount and leaves the mixture of w there; so many are all different pages
// as there are. Clobbers all but R15.
TEXT stampPages(SB), NOSPLIT|NOFRAME, $0
	MOVQ AX, CX
	MOVQ writeCount(R15), BX
write:
	TESTQ CX, CX
	JEQ done
	MOVQ BX, AX
	CALL pageOfKey(SB)
	MOVQ $STAMP_SEED, AX
	ADDQ BX, AX
	CALL mix(SB)
	MOVQ AX, pageStamp(R12)
	INCQ BX
	DECQ CX
	JMP write
done:
	MOVQ BX, writeCount(R15)
	RET

// expectedStamp makes AX the stamp that page order R8 must have after all
// writes: that of the last write number w with w modulo pageCount = order, or 0.
// Clobbers DX, BP.
TEXT expectedStamp(SB), NOSPLIT|NOFRAME, $0
	MOVQ writeCount(R15), AX
	XORL DX, DX
	DIVQ R10                   // whole rounds, and writes of the last round
	CMPQ R8, DX
	JCS round                  // the last round came here
	TESTQ AX, AX
	JEQ never
	DECQ AX
round:
	IMULQ R10, AX
	ADDQ R8, AX
	MOVQ $STAMP_SEED, DX
	ADDQ DX, AX
	JMP mix(SB)
never:
	RET

// checkPage compares page R12 (number R9, order R8) with what it must hold;
// equal flag when all is as it should. Clobbers AX, BX, CX, DX, SI, DI, BP.
TEXT checkPage(SB), NOSPLIT|NOFRAME, $0
	CMPQ R8, pageOrder(R12)
	JNE done
	CALL expectedStamp(SB)
	CMPQ AX, pageStamp(R12)
	JNE done
	MOVQ R8, BX
	LEAQ pageEntries(R12), DI
	MOVL $ENTRIES_PER_PAGE, CX
entry:
	CMPQ BX, 0(DI)
	JNE done
	MOVQ BX, AX
	CALL mix(SB)
	CMPQ AX, 8(DI)
	JNE done
	ADDQ R10, BX
	ADDQ $16, DI
	DECL CX
	JNE entry
	NOISE_OF
	LEAQ pageNoise(R12), DI
	MOVL $NOISE_WORDS, CX
	REP; CMPSQ
	JNE done
	PROSE_OF
	LEAQ pageProse(R12), DI
	MOVL $PROSE_WORDS, CX
	REP; CMPSQ
done:
	RET

// checkTable compares every written byte of every page with what it must be.
// R13 = damaged pages, R14 = number of the last of them.
TEXT checkTable(SB), NOSPLIT|NOFRAME, $0
	MOVQ pageCount(R15), R10
	MOVQ stepMod(R15), R11
	XORL R8, R8
	XORL R9, R9
	XORL R13, R13
	XORL R14, R14
page:
	PAGE
	CALL checkPage(SB)
	JEQ good
	INCQ R13
	MOVQ R9, R14
good:
	NEXT_PAGE
	INCQ R8
	CMPQ R8, R10
	JNE page
	RET
