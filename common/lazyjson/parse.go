package lazyjson

import "math"

// Doc is one parsed document. The zero Doc is empty. Parse may be called again and reuses
// the memory.
type Doc struct {
	data  []byte
	nodes []node
	texts map[uint32]string // decoded long texts, by node
}

// Parse checks data and records where its values are. Its error is a *SyntaxError.
func (d *Doc) Parse(data []byte) error { return d.ParseEnvelope(data, 0) }

// ParseEnvelope is Parse for a document that holds other documents, such as a batch of
// events with data: its outermost levels do not count for MaxDepth.
func (d *Doc) ParseEnvelope(data []byte, levels int) error {
	d.texts = nil
	if uint64(len(data)) >= math.MaxUint32 {
		d.data, d.nodes = nil, d.nodes[:0]
		return &SyntaxError{0, "the document is larger than 4 GiB"}
	}
	w := walker{data: data, nodes: d.nodes[:cap(d.nodes)], open: none, maxDepth: MaxDepth + levels}
	at, f := w.walk()
	d.data, d.nodes = data, w.nodes[:w.n]
	if f != fine {
		d.data, d.nodes = nil, d.nodes[:0]
		return &SyntaxError{at, f.at(at, data)}
	}
	return nil
}

// Release empties the document, and keeps memory for at most keep nodes. Values of the
// document must not be used after it.
func (d *Doc) Release(keep int) {
	d.data, d.nodes, d.texts = nil, d.nodes[:0], nil
	if cap(d.nodes) > keep {
		d.nodes = nil
	}
}

// none means that no container is open.
const none = math.MaxUint32

// walker reads a document once, without recursion: open containers are linked by their
// nodes.
type walker struct {
	data  []byte
	nodes []node // the first n are used
	n     int
	open  uint32 // the innermost open container, or none
	depth int    // number of open containers

	maxDepth int
}

// walk reads a document. It returns where it stopped, and why.
func (w *walker) walk() (i int, f fault) {
	data := w.data
	var (
		closer byte   // closing bracket of the innermost open container; 0: none is open
		count  uint32 // its children so far
	)
	for {
		var c byte
		v := w.next()
		count++
		if closer == '}' {
			if i, c = peek(data, i); c != '"' {
				return i, noName
			}
			if i, f = v.name(data, i+1); f != fine {
				return i, f
			}
		}
		i, c = peek(data, i)
		v.start = uint32(i)
		switch {
		case c == '"':
			v.kind = String
			i, v.special, f = text(data, i+1)
		case c-'0' <= 9 || c == '-':
			i, v.kind, f = number(data, i)
		case c == '{' || c == '[':
			if w.depth++; w.depth > w.maxDepth {
				return i, tooDeep
			}
			v.kind = container(c)
			v.next, v.count = w.open, count
			w.open, closer, count = uint32(w.n-1), c+2, 0
			if i, c = peek(data, i+1); c != closer {
				continue
			}
		default:
			i, v.kind, f = literal(data, i)
		}
		if f != fine {
			return i, f
		}
		v.end = uint32(i)
		// The value may be the last one of several containers.
		for i, c = peek(data, i); c == closer && closer != 0; i, c = peek(data, i) {
			i++
			count, closer = w.close(i, count)
		}
		if closer == 0 {
			return end(data, i)
		}
		if c != ',' {
			return i, unseparated(closer)
		}
		i++
	}
}

// next returns the node of the next value.
func (w *walker) next() *node {
	if w.n == len(w.nodes) {
		w.grow()
	}
	v := &w.nodes[w.n]
	w.n++
	*v = node{next: uint32(w.n)}
	return v
}

func (w *walker) grow() {
	w.nodes = append(w.nodes, make([]node, max(len(w.nodes), 16))...)
	w.nodes = w.nodes[:cap(w.nodes)]
}

// close ends the innermost open container, which has count children, before byte i. It
// returns the children so far and the closing bracket of the container around it.
func (w *walker) close(i int, count uint32) (uint32, byte) {
	v := &w.nodes[w.open]
	w.open, count, v.count = v.next, v.count, count
	v.end, v.next = uint32(i), uint32(w.n)
	w.depth--
	if w.open == none {
		return count, 0
	}
	return count, w.data[w.nodes[w.open].start] + 2
}

// container returns the kind of a value that begins with a bracket. In ASCII both closing
// brackets come two places after their opening ones.
func container(c byte) Kind {
	if c == '{' {
		return Object
	}
	return Array
}

// name reads the name of a member, which begins at from, after its quote, and the colon
// after it.
func (v *node) name(data []byte, from int) (int, fault) {
	i, special, f := text(data, from)
	if f != fine {
		return i, f
	}
	v.key, v.keyLen = uint32(from), unknownLen
	if n := i - 1 - from; !special && n < unknownLen {
		v.keyLen = uint8(n)
	}
	i, c := peek(data, i)
	if c != ':' {
		return i, noColon
	}
	return i + 1, fine
}

// end checks that only white space is left.
func end(data []byte, i int) (int, fault) {
	if i, _ = peek(data, i); i < len(data) {
		return i, more
	}
	return i, fine
}

// peek returns the place of the next byte that is not white space, and that byte; 0 at the
// end.
func peek(data []byte, i int) (int, byte) {
	if i < len(data) && data[i] > ' ' {
		return i, data[i]
	}
	return space(data, i)
}

func space(data []byte, i int) (int, byte) {
	for ; i < len(data); i++ {
		c := data[i]
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return i, c
		}
	}
	return i, 0
}
