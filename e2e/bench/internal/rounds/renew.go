package rounds

import (
	"bytes"
	"fmt"
	"os"
)

// What stands around the figures in a file.
const (
	begin = "<!-- figures -->\n"
	end   = "<!-- /figures -->"
)

// page is a file with figures in it: what stands before and after them.
type page struct {
	file          string
	before, after []byte
}

// openPage fails unless the file has the marks.
func openPage(file string) (page, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return page{}, fmt.Errorf("renew the figures: %w", err)
	}
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, foundEnd := bytes.Cut(rest, []byte(end))
	if !found || !foundEnd {
		return page{}, fmt.Errorf("renew the figures: %s has no lines %s and %s to put them between", file, bytes.TrimSpace([]byte(begin)), end)
	}
	return page{file, before, after}, nil
}

// renew puts figures in place of those there.
func (p page) renew(figures []byte) error {
	text := bytes.Join([][]byte{p.before, []byte(begin), bytes.TrimPrefix(figures, []byte("\n")), []byte(end), p.after}, nil)
	if err := os.WriteFile(p.file, text, 0o644); err != nil {
		return fmt.Errorf("renew the figures: %w", err)
	}
	return nil
}
