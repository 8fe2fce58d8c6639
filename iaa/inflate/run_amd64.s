#include "go_asm.h"
#include "textflag.h"

// The loops of run.go by hand, for processors with BMI2 and SSSE3: shifts
// by any register, and a shuffle that repeats the last bytes of the output for
// any distance without a branch. See there for what each step means, and the
// package's comment for why the pointers stay inside the buffers.
//
// One stream's decoding is a chain of dependent lookups, so that most of the
// processor waits. runTwo decodes two streams side by side to use it.
//
// The names in the macros: BUF, LEFT, IN, OUT and E are the stream's; E is the
// entry found for the next bits of BUF, which are not consumed yet. TAB, LIMIT,
// END and BASE are the table, the last place where a round may read input, the
// end of the destination and its start, in memory. T1 to T4 are scratch.

#define LITERAL_MASK 2047
#define EXCEPTIONAL 0x4000
#define SUBTABLE 0x40000000
#define DISTANCE_EXCEPTIONAL 0x8000
#define DISTANCE_SUBTABLE 0x4000

// REFILL makes at least 56 bits available.
#define REFILL(BUF, LEFT, IN, T) \
	MOVQ  (IN), T       \
	SHLXQ LEFT, T, T    \
	ORQ   T, BUF        \
	MOVL  LEFT, T       \
	SHRL  $3, T         \
	SUBQ  T, IN         \
	ADDQ  $7, IN        \
	ORL   $56, LEFT

// LOOKUP finds the entry of the next symbol.
#define LOOKUP(BUF, E, TAB, T) \
	MOVQ TAB, T             \
	MOVL BUF, E             \
	ANDL $LITERAL_MASK, E   \
	MOVL (T)(E*4), E

// LITERAL takes a literal if there is one.
#define LITERAL(BUF, LEFT, OUT, E, TAB, T) \
	RORXL $16, E, T     \
	MOVB  T, (OUT)      \
	RORXL $31, E, T     \
	ANDL  $1, T         \
	ADDQ  T, OUT        \
	SHRXQ E, BUF, BUF   \
	SUBB  E, LEFT       \
	LOOKUP(BUF, E, TAB, T)

// SUBTABLE_ENTRY replaces the exceptional entry E by one of a subtable. It leaves
// for RARE if that is a literal, for OTHER if it is exceptional too or there
// is no subtable; then nothing has changed.
#define SUBTABLE_ENTRY(BUF, LEFT, IN, E, TAB, T1, T2, T3, RARE, OTHER) \
	TESTL $SUBTABLE, E      \
	JZ    OTHER             \
	RORXQ $11, BUF, T1      \
	MOVL  E, T2             \
	SHRL  $28, T2           \
	ANDL  $3, T2            \
	INCL  T2                \
	BZHIL T2, T1, T1        \
	MOVL  E, T2             \
	SHRL  $16, T2           \
	ANDL  $0xfff, T2        \
	ADDL  T2, T1            \
	MOVQ  TAB, T3           \
	MOVL  (T3)(T1*4), T1    \
	TESTL $EXCEPTIONAL, T1  \
	JNZ   OTHER             \
	SHRQ  $11, BUF          \
	SUBB  $11, LEFT         \
	MOVL  T1, E             \
	TESTL E, E              \
	JS    RARE

// LENGTH consumes the length whose entry is E into T2, and finds the entry of
// the distance, T3.
#define LENGTH(BUF, LEFT, IN, E, TAB, T1, T2, T3, T4) \
	MOVQ    BUF, T1                     \
	MOVL    E, T2                       \
	SHRL    $8, T2                      \
	SHRXQ   T2, BUF, BUF                \
	SUBB    T2, LEFT                    \
	MOVQ    TAB, T4                     \
	MOVBLZX BUF, T3                     \
	MOVL    Table_distance(T4)(T3*4), T3 \
	REFILL(BUF, LEFT, IN, T4)           \
	BZHIQ   T2, T1, T1                  \
	RORXL   $25, E, T2                  \
	SHRXQ   T2, T1, T1                  \
	SHRL    $16, E                      \
	ANDL    $0x1ff, E                   \
	LEAQ    (T1)(E*1), T2

// FAR_SUBTABLE replaces the exceptional entry T3 of a distance.
#define FAR_SUBTABLE(BUF, LEFT, TAB, T1, T3, T4, BAD) \
	TESTL $DISTANCE_SUBTABLE, T3        \
	JZ    BAD                           \
	SHRQ  $8, BUF                       \
	SUBB  $8, LEFT                      \
	MOVL  T3, T1                        \
	SHRL  $8, T1                        \
	ANDL  $7, T1                        \
	INCL  T1                            \
	BZHIL T1, BUF, T1                   \
	SHRL  $16, T3                       \
	ANDL  $0xfff, T3                    \
	ADDL  T1, T3                        \
	MOVQ  TAB, T4                       \
	MOVL  Table_distance(T4)(T3*4), T3  \
	TESTL $DISTANCE_EXCEPTIONAL, T3     \
	JNZ   BAD

// DISTANCE consumes the distance whose entry is T3 into T3, finds the next
// entry, and puts the address to copy from into T1.
#define DISTANCE(BUF, LEFT, IN, OUT, E, TAB, T1, T3, T4) \
	MOVQ  BUF, T1             \
	SHRXQ T3, BUF, BUF        \
	SUBB  T3, LEFT            \
	LOOKUP(BUF, E, TAB, T4)   \
	BZHIQ T3, T1, T1          \
	REFILL(BUF, LEFT, IN, T4) \
	MOVL  T3, T4              \
	SHRL  $8, T4              \
	SHRXQ T4, T1, T1          \
	SHRL  $16, T3             \
	ADDQ  T1, T3              \
	MOVQ  OUT, T1             \
	SUBQ  T3, T1

// COPY copies T2 bytes from T1, T3 back from OUT. The first 16 are shuffled so that
// they repeat the last T3 bytes, if T3 is less; what follows is copied from a
// multiple of T3 back that is at least 16.
#define COPY(OUT, T1, T2, T3, T4, LONG, LOOP, DONE) \
	MOVOU    (T1), X0               \
	MOVL     $16, T4                \
	CMPQ     T3, T4                 \
	CMOVQCS  T3, T4                 \
	SHLL     $4, T4                 \
	LEAQ     ·repeats(SB), T1       \
	MOVOU    (T1)(T4*1), X1         \
	PSHUFB   X1, X0                 \
	MOVQ     (17*16)(T1)(T4*1), T1  \
	CMPQ     T3, $16                \
	CMOVQCC  T3, T1                 \
	NEGQ     T1                     \
	MOVOU    X0, (OUT)              \
	MOVOU    16(OUT)(T1*1), X0      \
	MOVOU    X0, 16(OUT)            \
	CMPQ     T2, $32                \
	JHI      LONG                   \
	ADDQ     T2, OUT                \
	JMP      DONE                   \
LONG:                               \
	ADDQ     OUT, T1                \
	MOVL     $32, T4                \
LOOP:                               \
	MOVOU    (T1)(T4*1), X0         \
	MOVOU    X0, (OUT)(T4*1)        \
	ADDQ     $16, T4                \
	CMPQ     T4, T2                 \
	JCS      LOOP                   \
	ADDQ     T2, OUT

// LOAD takes a stream's state into registers, and what does not change into
// memory.
#define LOAD(S, BUF, LEFT, IN, OUT, LIMIT, END, BASE, T) \
	MOVQ stream_buf(S), BUF     \
	MOVL stream_left(S), LEFT   \
	MOVQ stream_dst(S), T       \
	MOVQ T, BASE                \
	MOVQ stream_out(S), OUT     \
	ADDQ T, OUT                 \
	ADDQ stream_dstLen(S), T    \
	MOVQ T, END                 \
	MOVQ stream_src(S), T       \
	MOVQ stream_in(S), IN       \
	ADDQ T, IN                  \
	ADDQ stream_srcLen(S), T    \
	ADDQ $8, T                  \
	MOVQ T, LIMIT               \
	REFILL(BUF, LEFT, IN, T)

#define STORE(S, BUF, LEFT, IN, OUT) \
	MOVQ BUF, stream_buf(S)     \
	MOVL LEFT, stream_left(S)   \
	SUBQ stream_src(S), IN      \
	MOVQ IN, stream_in(S)       \
	SUBQ stream_dst(S), OUT     \
	MOVQ OUT, stream_out(S)

// func runSingle(s *stream, t *Table) runResult
TEXT ·runSingle(SB), NOSPLIT, $32-24
#define TAB0 BX
#define LIMIT0 limit-8(SP)
#define END0 end-16(SP)
#define BASE0 base-24(SP)
	MOVQ t+8(FP), BX
	MOVQ s+0(FP), AX
	LOAD(AX, R8, R9, R10, R11, LIMIT0, END0, BASE0, DX)
	LOOKUP(R8, R12, TAB0, AX)

next:
	CMPQ  R10, LIMIT0
	JHI   limit
	CMPQ  R11, END0
	JHI   limit
	LITERAL(R8, R9, R11, R12, TAB0, AX)
	LITERAL(R8, R9, R11, R12, TAB0, AX)
	TESTL R12, R12
	JS    literal
	TESTL $EXCEPTIONAL, R12
	JNZ   exceptional

match:
	LENGTH(R8, R9, R10, R12, TAB0, AX, DX, DI, SI)
	TESTL $DISTANCE_EXCEPTIONAL, DI
	JNZ   far

distance:
	DISTANCE(R8, R9, R10, R11, R12, TAB0, AX, DI, SI)
	CMPQ AX, BASE0
	JCS  tooFar
	LEAQ (R11)(DX*1), SI
	CMPQ SI, END0
	JHI  tooLong
	COPY(R11, AX, DX, DI, SI, long, loop, next)
	JMP  next

literal:
	REFILL(R8, R9, R10, AX)
	JMP next

exceptional:
	SUBTABLE_ENTRY(R8, R9, R10, R12, TAB0, AX, DX, DI, rare, other)
	JMP match

rare:
	LITERAL(R8, R9, R11, R12, TAB0, AX)
	JMP literal

far:
	FAR_SUBTABLE(R8, R9, TAB0, AX, DI, SI, bad)
	JMP distance

limit:
	MOVQ $const_runLimit, DX
	JMP  done

tooFar:
	MOVQ $const_runTooFar, DX
	JMP  done

tooLong:
	MOVQ $const_runTooLong, DX
	JMP  done

bad:
	MOVQ $const_runBadCode, DX
	JMP  done

other:
	MOVQ $const_runExceptional, DX

done:
	MOVQ s+0(FP), AX
	STORE(AX, R8, R9, R10, R11)
	MOVQ DX, ret+16(FP)
	RET

// func runTwo(a, b *stream, ta, tb *Table) (which int, result runResult)
TEXT ·runTwo(SB), NOSPLIT, $64-48
#define TABA tableA-56(SP)
#define TABB tableB-64(SP)
#define LIMITA limitA-8(SP)
#define ENDA endA-16(SP)
#define BASEA baseA-24(SP)
#define LIMITB limitB-32(SP)
#define ENDB endB-40(SP)
#define BASEB baseB-48(SP)
	MOVQ ta+16(FP), AX
	MOVQ AX, TABA
	MOVQ tb+24(FP), AX
	MOVQ AX, TABB
	MOVQ a+0(FP), AX
	LOAD(AX, R8, R9, R10, R11, LIMITA, ENDA, BASEA, DX)
	LOOKUP(R8, R12, TABA, AX)
	MOVQ b+8(FP), AX
	LOAD(AX, BX, CX, SI, DI, LIMITB, ENDB, BASEB, DX)
	LOOKUP(BX, R13, TABB, AX)

next:
	CMPQ  R10, LIMITA
	JHI   limitA
	CMPQ  R11, ENDA
	JHI   limitA
	CMPQ  SI, LIMITB
	JHI   limitB
	CMPQ  DI, ENDB
	JHI   limitB
	LITERAL(R8, R9, R11, R12, TABA, AX)
	LITERAL(BX, CX, DI, R13, TABB, DX)
	LITERAL(R8, R9, R11, R12, TABA, AX)
	LITERAL(BX, CX, DI, R13, TABB, DX)
	TESTL R12, R12
	JS    literalA
	TESTL $EXCEPTIONAL, R12
	JNZ   exceptionalA

matchA:
	LENGTH(R8, R9, R10, R12, TABA, AX, DX, R14, R15)
	TESTL $DISTANCE_EXCEPTIONAL, R14
	JNZ   farA

distanceA:
	DISTANCE(R8, R9, R10, R11, R12, TABA, AX, R14, R15)
	CMPQ AX, BASEA
	JCS  tooFarA
	LEAQ (R11)(DX*1), R15
	CMPQ R15, ENDA
	JHI  tooLongA
	COPY(R11, AX, DX, R14, R15, longA, loopA, doneA)

doneA:
	TESTL R13, R13
	JS    literalB
	TESTL $EXCEPTIONAL, R13
	JNZ   exceptionalB

matchB:
	LENGTH(BX, CX, SI, R13, TABB, AX, DX, R14, R15)
	TESTL $DISTANCE_EXCEPTIONAL, R14
	JNZ   farB

distanceB:
	DISTANCE(BX, CX, SI, DI, R13, TABB, AX, R14, R15)
	CMPQ AX, BASEB
	JCS  tooFarB
	LEAQ (DI)(DX*1), R15
	CMPQ R15, ENDB
	JHI  tooLongB
	COPY(DI, AX, DX, R14, R15, longB, loopB, next)
	JMP  next

literalA:
	REFILL(R8, R9, R10, AX)
	JMP doneA

literalB:
	REFILL(BX, CX, SI, AX)
	JMP next

exceptionalA:
	SUBTABLE_ENTRY(R8, R9, R10, R12, TABA, AX, DX, R14, rareA, otherA)
	JMP matchA

rareA:
	LITERAL(R8, R9, R11, R12, TABA, AX)
	JMP literalA

exceptionalB:
	SUBTABLE_ENTRY(BX, CX, SI, R13, TABB, AX, DX, R14, rareB, otherB)
	JMP matchB

rareB:
	LITERAL(BX, CX, DI, R13, TABB, AX)
	JMP literalB

farA:
	FAR_SUBTABLE(R8, R9, TABA, AX, R14, R15, badA)
	JMP distanceA

farB:
	FAR_SUBTABLE(BX, CX, TABB, AX, R14, R15, badB)
	JMP distanceB

limitA:
	MOVQ $const_runLimit, DX
	JMP  first

tooFarA:
	MOVQ $const_runTooFar, DX
	JMP  first

tooLongA:
	MOVQ $const_runTooLong, DX
	JMP  first

badA:
	MOVQ $const_runBadCode, DX
	JMP  first

otherA:
	MOVQ $const_runExceptional, DX

first:
	MOVQ $0, which+32(FP)
	JMP  done

limitB:
	MOVQ $const_runLimit, DX
	JMP  second

tooFarB:
	MOVQ $const_runTooFar, DX
	JMP  second

tooLongB:
	MOVQ $const_runTooLong, DX
	JMP  second

badB:
	MOVQ $const_runBadCode, DX
	JMP  second

otherB:
	MOVQ $const_runExceptional, DX

second:
	MOVQ $1, which+32(FP)

done:
	MOVQ a+0(FP), AX
	STORE(AX, R8, R9, R10, R11)
	MOVQ b+8(FP), AX
	STORE(AX, BX, CX, SI, DI)
	MOVQ DX, result+40(FP)
	RET
