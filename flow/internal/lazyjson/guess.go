package lazyjson

import "encoding/binary"

// mostGuesses is for how many values of a document the name is guessed.
const mostGuesses = 64

// rest is how many documents are read without guesses after one that was not
// like the one before it: to guess all names wrongly costs twice what guessing
// them rightly spares (BenchmarkParseOther without a rest).
const rest = 15

// quotesAndColon is what a guess has beside the name itself.
const quotesAndColon = 3

// guess is a member's name as the last document had it in the same place, from
// its quote to its colon. The records of a topic mostly have one shape, and to
// compare sixteen bytes is quicker than to look for the end of a name: what
// comes next then stands where it is expected, and not where the last byte
// that was looked at said.
type guess struct {
	low, high         uint64 // its bytes, the first one lowest
	lowMask, highMask uint64 // those of them that count; all where nothing is known
	size              uint8
}

// unknown fits nothing that begins with a quote.
var unknown = guess{lowMask: 1<<64 - 1, highMask: 1<<64 - 1}

// fits tells whether data goes on from byte i as guessed.
func (g *guess) fits(data []byte, i int) bool {
	if i+16 > len(data) {
		return false
	}
	low, high := binary.LittleEndian.Uint64(data[i:]), binary.LittleEndian.Uint64(data[i+8:])
	return (low^g.low)&g.lowMask|(high^g.high)&g.highMask == 0
}

// learn takes a name that begins at i and has size bytes, with the quotes and
// the colon that has to follow at once.
func (g *guess) learn(data []byte, i, size int) {
	if size > 16 || i+16 > len(data) || data[i+size-1] != ':' {
		*g = unknown
		return
	}
	*g = guess{lowMask: lowest(size), highMask: lowest(size - 8), size: uint8(size)}
	g.low, g.high = binary.LittleEndian.Uint64(data[i:])&g.lowMask, binary.LittleEndian.Uint64(data[i+8:])&g.highMask
}

// lowest is a mask of the n lowest bytes; of none or of all eight where n is
// below or beyond that.
func lowest(n int) uint64 {
	return 1<<(8*uint(min(max(n, 0), 8))) - 1
}
