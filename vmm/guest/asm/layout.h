// The addresses, offsets and numbers that the parts of the guest agree on.
// ../table.go says the same to Go, as far as it needs it; the tests compare.

#include "textflag.h"

// --- physical memory -------------------------------------------------------
// The image lies at 1 MiB. What it writes lies between 1.5 and 2 MiB, so that
// a page that changes never holds code, and the table begins at 2 MiB.
#define MIB 0x100000
#define STATE 0x180000       // variables, GDT, line buffers: one page
#define IDT 0x181000         // 256 gates of 16 bytes: one page
#define STACK_TOP 0x183000   // the stack grows down: one page
#define PROSE 0x188000       // readable filler
#define NOISE 0x190000       // filler that does not compress
#define TABLE 0x200000       // the hash table
#define TABLE_MIB 2          // the same in MiB
#define TRAMPOLINE 0x8000    // where other processors start, in real mode
#define NOWHERE 0xcf000000   // in the hole for devices, but no device is there
#define LAPIC 0xfee00000     // each processor's own interrupt controller

// --- the state page, relative to R15 ---------------------------------------
#define mib 0x00             // size of the table
#define pageCount 0x08       // the same in pages
#define stepMod 0x10         // STEP modulo pageCount
#define lookupCount 0x18     // lookups answered
#define writeCount 0x20      // pages written by the command write
#define tickCount 0x28       // interrupts of the timer
#define keysDown 0x30        // bit 0: Ctrl, bit 1: Alt
#define echo 0x38            // not 0: what is typed is sent back
#define lineLen 0x40         // bytes in line; LINE_MAX+1: too long
#define outLen 0x48          // bytes in out
#define processors 0x50      // how many have answered
#define tableSum 0x58        // sum of all values, found while building
#define descriptor 0x60      // operand of LGDT and LIDT, 10 bytes
#define timerOn 0x70         // not 0: the user has asked for ticks
#define memoryTop 0x78       // end of the memory that begins at or below 1 MiB
#define commandLine 0x80     // pointer from the zero page
#define gdt 0x100            // 4 descriptors
#define digits 0x180         // digits of a number, written from the end
#define digitsEnd 0x1a0
#define line 0x200           // the command being typed
#define LINE_MAX 63
#define out 0x400            // the answer being composed
#define OUT_MAX 1024

// --- a page of the table ---------------------------------------------------
#define pageOrder 0          // which page it was in the order of building
#define pageStamp 8          // changed by the command write
#define pageEntries 16       // 4 times key, value
#define ENTRIES_PER_PAGE 4
#define pageNoise 80
#define NOISE_WORDS 128
#define pageProse 1104
#define PROSE_WORDS 224      // what follows, 1200 bytes, stays untouched

// The filler of page number n is copied from NOISE + n*NOISE_STRIDE modulo
// NOISE_SIZE and PROSE + n*PROSE_STRIDE modulo PROSE_SIZE. The noise is new in 63
// neighbors, so that a compressor that sees that many at once does not find it
// again. The sources are longer by the piece that is copied.
#define NOISE_SIZE 0x10000
#define NOISE_STRIDE 1031
#define NOISE_SEED 0x5ab4ef50000000
#define PROSE_SIZE 0x400
#define PROSE_STRIDE 37

// Key k lives in page k*STEP modulo pageCount. STEP is a prime larger than
// any pageCount, so keys 0 to pageCount-1 fill each page exactly once.
#define STEP 2654435761
#define MIB_DEFAULT 32
#define MIB_MAX 3070

// splitmix64
#define MIX_GAMMA $0x9e3779b97f4a7c15
#define MIX_1 $0xbf58476d1ce4e5b9
#define MIX_2 $0x94d049bb133111eb
#define STAMP_SEED 0x57a3b00000000000

// --- Linux's zero page, which RSI points to at the start --------------------
#define zeroE820Count 0x1e8
#define zeroCommandLine 0x228
#define zeroE820 0x2d0
#define E820_MAX 128
#define E820_RAM 1

// --- selectors: those of Linux's boot protocol, so CS stays valid ------------
#define CODE64 0x10
#define DATA 0x18

// --- ports -------------------------------------------------------------------
#define COM1_DATA 0x3f8
#define COM1_IER 0x3f9
#define COM1_FCR 0x3fa
#define COM1_LCR 0x3fb
#define COM1_MCR 0x3fc
#define COM1_LSR 0x3fd
#define LSR_RECEIVED 0x01
#define LSR_FIFO_EMPTY 0x20
#define FIFO_BYTES 16
#define KEYBOARD_DATA 0x60
#define KEYBOARD_COMMAND 0x64
#define PIC1 0x20
#define PIC1_MASK 0x21
#define PIC2 0xa0
#define PIC2_MASK 0xa1
#define PIT_CHANNEL0 0x40
#define PIT_MODE 0x43
#define PIT_DIVISOR 11932    // 1193182 Hz / 11932 = 100 Hz

// Vectors 0x20 to 0x2f are the 16 lines of the PICs.
#define VECTOR_TIMER 0x20
#define VECTOR_KEYBOARD 0x21
#define VECTOR_SERIAL 0x24
#define IRQS_OFF 0xed        // all but keyboard (1) and serial port (4)
#define IRQS_TICK 0xec       // and the timer (0)

// --- phrases -------------------------------------------------------------------
// OUT(port, value) writes a byte to a port. Clobbers AX and DX.
#define OUT(port, value) MOVL $port, DX; MOVL $value, AX; OUTB
// SAY(text) appends a text of texts.txt to the answer.
#define SAY(text) LEAQ text(SB), SI; CALL sayText(SB)
