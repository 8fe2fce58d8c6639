package state

import "encoding/binary"

// Encode returns the bytes of a state file. It returns ErrLimit for sections
// that Decode would refuse.
func Encode(sections []Section) ([]byte, error) {
	fileBytes, err := checkSections(sections)
	if err != nil {
		return nil, err
	}
	file := make([]byte, headerBytes, fileBytes)
	putHeader(file, fileBytes, len(sections))
	for _, s := range sections {
		file = appendSection(file, s)
	}
	return appendTrailer(file), nil
}

// checkSections returns the size that the file will have.
func checkSections(sections []Section) (fileBytes int, err error) {
	if len(sections) > MaxSections {
		return 0, fail(ErrLimit, wholeFile, "%d sections, at most %d are possible", len(sections), MaxSections)
	}
	fileBytes = headerBytes + trailerBytes
	seen := map[identity]bool{}
	for _, s := range sections {
		switch {
		case len(s.Data) > MaxSectionBytes || len(s.Name) > MaxNameBytes:
			return 0, fail(ErrLimit, wholeFile, "section %v %d has %d bytes and a name of %d", s.Kind, s.Index, len(s.Data), len(s.Name))
		case seen[s.identity()]:
			return 0, fail(ErrLimit, wholeFile, "two sections are %v %d", s.Kind, s.Index)
		}
		seen[s.identity()] = true
		fileBytes += storedBytes(len(s.Name), len(s.Data))
	}
	if fileBytes > MaxFileBytes {
		return 0, fail(ErrLimit, wholeFile, "%d bytes, at most %d are possible", fileBytes, MaxFileBytes)
	}
	return fileBytes, nil
}

func putHeader(file []byte, fileBytes, sectionCount int) {
	copy(file, magic)
	binary.LittleEndian.PutUint32(file[headerVersionOff:], version)
	binary.LittleEndian.PutUint32(file[headerArchOff:], archX86KVM)
	binary.LittleEndian.PutUint64(file[headerFileBytesOff:], uint64(fileBytes))
	binary.LittleEndian.PutUint32(file[headerSectionsOff:], uint32(sectionCount))
	binary.LittleEndian.PutUint32(file[headerCRCOff:], crc(file[:headerCRCOff]))
}

func appendSection(file []byte, s Section) []byte {
	start := len(file)
	file = binary.LittleEndian.AppendUint32(file, uint32(s.Kind))
	file = binary.LittleEndian.AppendUint32(file, s.Index)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(s.Data)))
	file = binary.LittleEndian.AppendUint32(file, uint32(len(s.Name)))
	file = append(file, make([]byte, sectionHeaderBytes-sectionReservedOff)...)
	file = append(file, s.Name...)
	file = append(file, s.Data...)
	end := start + storedBytes(len(s.Name), len(s.Data))
	file = append(file, make([]byte, end-len(file))...)
	binary.LittleEndian.PutUint32(file[start+sectionCRCOff:], sectionCRC(file[start:]))
	return file
}

func appendTrailer(file []byte) []byte {
	file = append(file, trailerMagic...)
	file = binary.LittleEndian.AppendUint32(file, 0)
	return binary.LittleEndian.AppendUint32(file, crc(file))
}
