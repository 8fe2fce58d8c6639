package store

// FormatVersion is the version of the image format that this package writes
// and the newest that it reads. Version 1 is the first: see docs/FORMAT.md.
const FormatVersion = 1

const (
	// PageBytes is the size of a guest page, the unit of the page map.
	PageBytes = 4096
	// MaxFramePages is the number of pages in the largest frame.
	MaxFramePages = 64
	// MaxFrameBytes is the raw size of the largest frame.
	MaxFrameBytes = MaxFramePages * PageBytes
	// MaxRawBytes is the size of the largest memory file that an image can
	// hold: a page map entry has 30 bits for a page or a stored slot.
	MaxRawBytes = int64(PageBytes) << entryValueBits
	// MaxSharedTables is the number of shared Huffman tables of one image.
	MaxSharedTables = 64
	// MaxWorkingSetRuns is the number of runs of a working set: with it, what
	// an image claims cannot make a reader allocate more than 16 MiB.
	MaxWorkingSetRuns = 1 << 20
	// MaxPathBytes bounds the remembered path of a parent.
	MaxPathBytes = 4096
	// SlackBytes is how many readable bytes follow every frame, so that
	// decoders may load whole words past the end of their input.
	SlackBytes = 64
)

const (
	headerBytes  = 4096
	trailerBytes = 64
	// tableAlignBytes aligns the tables that are mapped.
	tableAlignBytes = 4096
	// maxPackedBytes bounds packed images to what a frame table entry can
	// address (48 bits).
	maxPackedBytes = int64(1) << 48

	mapEntryBytes   = 4
	chunkPages      = 4096 // pages that one chunk of the page map covers
	chunkBytes      = chunkPages * mapEntryBytes
	chunkRawBytes   = chunkPages * PageBytes
	dirEntryBytes   = 16
	frameEntryBytes = 16
	blockFrames     = 1024 // frame table entries under one checksum
	blockBytes      = blockFrames * frameEntryBytes
	entryValueBits  = 30
)
