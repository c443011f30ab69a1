package lazyjson

import "math"

// Doc is one parsed document. The zero Doc holds nothing; Parse may be called
// again and reuses its memory.
type Doc struct {
	data  []byte
	nodes []node
	texts map[uint32]string // long texts that were decoded, by node
}

// none stands for "no parent" in node.next.
const none = math.MaxUint32

// Parse checks data and notes where its values stand. It fails with a
// *SyntaxError where encoding/json.Valid would say no.
func (d *Doc) Parse(data []byte) error {
	d.data, d.nodes, d.texts = data, d.nodes[:0], nil
	if uint64(len(data)) >= math.MaxUint32 {
		d.data = nil
		return &SyntaxError{0, "the document is larger than 4 GiB"}
	}
	p := parser{data: data, nodes: d.nodes, open: none}
	fault := p.document()
	d.nodes = p.nodes
	if fault != "" {
		d.data, d.nodes = nil, d.nodes[:0]
		return &SyntaxError{p.at, fault}
	}
	return nil
}

// Release forgets the document, and keeps up to keep nodes' memory for the
// next one. Values of the document must not be used any more.
func (d *Doc) Release(keep int) {
	d.data, d.nodes, d.texts = nil, d.nodes[:0], nil
	if cap(d.nodes) > keep {
		d.nodes = nil
	}
}

// parser walks a document once, without recursion: the containers that are
// open are linked by their nodes. Its methods return what is wrong, or "".
type parser struct {
	data   []byte
	nodes  []node
	at     int
	open   uint32 // the innermost open container
	object bool   // it is an object
	depth  int
	mark   uint32 // where the text that was read last begins, after its quote
}

func (p *parser) document() string {
	fault := p.item()
	for fault == "" && p.open != none {
		switch c := p.peek(); {
		case c == ',':
			p.at++
			fault = p.item()
		case c == p.closer():
			p.at++
			p.close()
		case p.at == len(p.data):
			fault = truncated
		case p.closer() == '}':
			fault = "a comma or } is missing after a member"
		default:
			fault = "a comma or ] is missing after an element"
		}
	}
	if fault == "" {
		if p.peek(); p.at < len(p.data) {
			fault = "there is more after the end of the value"
		}
	}
	return fault
}

const truncated = "it ends too early"

// item reads the next thing that is due: an element, or a member with its
// name. When that opens a container, it reads on to the first value in it.
func (p *parser) item() string {
	for {
		at := len(p.nodes)
		p.nodes = append(p.nodes, node{})
		n := &p.nodes[at]
		if p.open != none {
			p.nodes[p.open].count++
			if p.object {
				if fault := p.name(n); fault != "" {
					return fault
				}
			}
		}
		c := p.peek()
		n.start = uint32(p.at)
		switch c {
		case '{':
			n.kind = Object
		case '[':
			n.kind = Array
		default:
			fault := p.scalar(c, n)
			n.end = uint32(p.at)
			n.next = uint32(at + 1)
			return fault
		}
		if p.depth++; p.depth > MaxDepth {
			return "it nests too deeply"
		}
		p.at++
		n.next = p.open
		p.open = uint32(at)
		p.object = c == '{'
		if p.peek() == p.closer() {
			p.at++
			p.close()
			return ""
		}
	}
}

// closer is the bracket that ends the innermost open container.
func (p *parser) closer() byte {
	if p.object {
		return '}'
	}
	return ']'
}

// close ends the innermost open container at the current byte.
func (p *parser) close() {
	n := &p.nodes[p.open]
	p.open = n.next
	n.end = uint32(p.at)
	n.next = uint32(len(p.nodes))
	p.depth--
	p.object = p.open != none && p.nodes[p.open].kind == Object
}

// name reads a member's name and the colon after it.
func (p *parser) name(n *node) string {
	if p.peek() != '"' {
		if p.at == len(p.data) {
			return truncated
		}
		return "the name of a member is missing"
	}
	odd, fault := p.text()
	if fault != "" {
		return fault
	}
	n.oddKey = odd
	n.keyEnd = uint32(p.at - 1)
	n.key = p.mark
	if p.peek() != ':' {
		if p.at == len(p.data) {
			return truncated
		}
		return "a colon is missing after the name of a member"
	}
	p.at++
	return ""
}

// scalar reads a value that holds no others.
func (p *parser) scalar(c byte, n *node) (fault string) {
	switch c {
	case '"':
		n.kind = String
		n.odd, fault = p.text()
	case 't':
		n.kind, fault = True, p.word("true")
	case 'f':
		n.kind, fault = False, p.word("false")
	case 'n':
		n.kind, fault = Null, p.word("null")
	default:
		n.kind, fault = p.number()
	}
	return fault
}

// word reads one of the three names of JSON.
func (p *parser) word(w string) string {
	for i := range len(w) {
		if p.at == len(p.data) {
			return truncated
		}
		if p.data[p.at] != w[i] {
			return "neither true, false nor null"
		}
		p.at++
	}
	return ""
}

// peek skips white space, and returns the byte after it, or 0 at the end.
func (p *parser) peek() byte {
	for p.at < len(p.data) {
		c := p.data[p.at]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		p.at++
	}
	return 0
}
