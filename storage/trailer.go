package storage

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
)

// trailerMagic begins the trailer of a backup: magic, then the SHA-256 of all before it. bbolt and tar ignore bytes behind their end, so
// a sealed file is one of theirs all the same.
const trailerMagic = "nuage backup v1\n"

// Seal returns a writer to w that notes a checksum; Close writes it behind the content, and leaves w open.
func Seal(w io.Writer) io.WriteCloser {
	sum := sha256.New()
	return &seal{io.MultiWriter(w, sum), w, sum}
}

type seal struct {
	io.Writer
	under io.Writer
	sum   hash.Hash
}

func (s *seal) Close() error {
	_, err := s.under.Write(s.sum.Sum([]byte(trailerMagic)))
	return err
}

// Unseal checks a file that Seal wrote and returns its content. Nothing else of a backup is to be looked at before that: bbolt can't be
// trusted with changed pages. Invalid: it was changed or cut short, or is none.
func Unseal(f *os.File) (*io.SectionReader, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, len(trailerMagic)+sha256.Size)
	content := max(0, size-int64(len(trailer)))
	if _, err := f.ReadAt(trailer, content); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.HasPrefix(trailer, []byte(trailerMagic)) {
		return nil, damagedBackup(errors.New("it does not end as \"nuage backup\" ends its files"))
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, content)); err != nil {
		return nil, err
	}
	if !bytes.Equal(sum.Sum([]byte(trailerMagic)), trailer) {
		return nil, damagedBackup(errors.New("its checksum does not match"))
	}
	return io.NewSectionReader(f, 0, content), nil
}

// cutTrailer checks a file and leaves its content only.
func cutTrailer(f *os.File) error {
	content, err := Unseal(f)
	if err != nil {
		return err
	}
	return f.Truncate(content.Size())
}
