package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parse reads one document within the limits of guard.go. The node is nil for a file without a
// value. If both a node and faults are returned, the rest of the file could be parsed. Nothing
// from the line unread on was parsed; 0: all was.
func parse(text string) (root *node, faults []*fault, unread int) {
	if f := checkText(text); f != nil {
		return nil, []*fault{f}, 1
	}
	if f := guardEncoding(text); f != nil {
		return nil, []*fault{f}, 1
	}
	file, err := parseYAML(text)
	if err != nil {
		return nil, []*fault{syntaxFault(err)}, 1
	}
	b := &builder{anchors: map[string]*node{}}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if root != nil {
			b.fail(CodeSyntax, beginOf(doc.Body), 1, plainSentence("a second YAML document in the file"), plainSentence("keep one document per file"))
			b.unread = beginOf(doc.Body).line
			break
		}
		if root = b.node(doc.Body, 0); b.fatal {
			return nil, b.faults, 1
		}
	}
	return root, b.faults, b.unread
}

// parseYAML calls the library, which panics on some input.
func parseYAML(text string) (file *ast.File, err error) {
	var last *token.Token
	defer func() {
		if r := recover(); r != nil {
			f := &fault{code: CodeSyntax, at: position{1, 1}, message: plainSentence("not valid YAML: the parser fails near here")}
			if last != nil && last.Position != nil {
				f.at = position{max(1, last.Position.Line), max(1, last.Position.Column)}
			}
			file, err = nil, f
		}
	}()
	if strings.Contains(text[strings.LastIndexByte(text, '\n')+1:], "!") {
		text += "\n" // the lexer drops a tag that the file ends with
	}
	tokens := lexer.Tokenize(text)
	if n := len(tokens); n > 0 {
		last = tokens[n-1]
	}
	if f := checkTokens(tokens); f != nil {
		return nil, f
	}
	return parser.Parse(joinColons(tokens), 0, parser.AllowDuplicateMapKey())
}

// builder converts the library's tree to nodes.
type builder struct {
	anchors map[string]*node // nil while the anchor's value is being read
	aliased int
	faults  []*fault
	fatal   bool
	unread  int // first line that was not read; 0: all were read
}

func (b *builder) fail(code string, at position, span int, message, hint sentence) {
	if len(b.faults) >= maxErrors {
		return
	}
	b.faults = append(b.faults, &fault{code: code, at: at, span: span, message: message, hint: hint})
}

// failAndStop is fail for a fault after which nothing more is read.
func (b *builder) failAndStop(code string, at position, message sentence, hint string) *node {
	if !b.fatal {
		b.fail(code, at, 1, message, plainSentence(hint))
	}
	b.fatal = true
	return &node{at: at, size: 1, height: 1}
}

func (b *builder) node(n ast.Node, depth int) *node {
	if b.fatal {
		return &node{size: 1, height: 1}
	}
	if depth > maxDepth {
		return b.failAndStop(CodeTooDeep, beginOf(n), plainSentence("nested more than 100 deep"), "")
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(beginOf(n), n.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(beginOf(n), []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return b.sequence(n, depth)
	case *ast.AnchorNode:
		return b.anchor(n, depth)
	case *ast.AliasNode:
		return b.alias(n, depth)
	case *ast.TagNode:
		return b.tag(n, depth)
	}
	return b.scalar(n)
}

func (b *builder) sequence(n *ast.SequenceNode, depth int) *node {
	out := &node{kind: sequence, at: beginOf(n), size: 1, height: 1}
	for _, item := range n.Values {
		out.add(b.node(item, depth+1))
	}
	return out
}

func (n *node) add(item *node) {
	n.items = append(n.items, item)
	n.grow(item)
}

func (n *node) grow(child *node) {
	n.size += child.size
	n.height = max(n.height, child.height+1)
}

func (b *builder) anchor(n *ast.AnchorNode, depth int) *node {
	name := n.Name.String()
	b.anchors[name] = nil
	value := b.node(n.Value, depth)
	value.anchorAt = beginOf(n)
	b.anchors[name] = value
	return value
}

func (b *builder) alias(n *ast.AliasNode, depth int) *node {
	name := n.Value.String()
	target, known := b.anchors[name]
	switch {
	case !known:
		b.fail(CodeSyntax, beginOf(n), len(name)+1, newSentence("alias *%s has no anchor above it", name),
			newSentence("write &%s before the value that it refers to", name))
		return &node{at: beginOf(n), size: 1, height: 1}
	case target == nil:
		return b.failAndStop(CodeTooManyAliases, beginOf(n), newSentence("alias *%s refers to a value that contains it", name), "")
	case depth+target.height > maxDepth:
		return b.failAndStop(CodeTooDeep, beginOf(n), plainSentence("nested more than 100 deep"), "")
	}
	if b.aliased += target.size; b.aliased > maxAliased {
		return b.failAndStop(CodeTooManyAliases, beginOf(n), plainSentence("the aliases of the file expand to more than 10000 values"),
			"write the values, or split the file")
	}
	return target
}

// tag accepts the tags of plain YAML types if they change nothing, and !!str, which makes a text
// of a number.
func (b *builder) tag(n *ast.TagNode, depth int) *node {
	tag := n.Start.Value
	value := &node{at: beginOf(n), size: 1, height: 1}
	if n.Value != nil {
		value = b.node(n.Value, depth)
	}
	value.anchorAt = beginOf(n)
	if tag == "!!str" && value.scalar() {
		made := *value
		made.kind = stringKind
		return &made
	}
	kinds := map[string][]kind{
		"!!map": {mapping}, "!!seq": {sequence}, "!!int": {intKind}, "!!float": {floatKind, intKind}, "!!bool": {boolKind}, "!!null": {null},
	}
	for _, k := range kinds[tag] {
		if value.kind == k {
			return value
		}
	}
	b.fail(CodeSyntax, beginOf(n), len(tag), newSentence("tag %q is not supported here", tag), plainSentence("remove it"))
	return value
}

func (b *builder) scalar(n ast.Node) *node {
	out := &node{at: beginOf(n), size: 1, height: 1}
	b.read(n, out)
	out.size += len(out.text) / sizeUnit
	return out
}

// sizeUnit is how many bytes of text count as one value when aliases are counted.
const sizeUnit = 128

func (b *builder) read(n ast.Node, out *node) {
	tk := n.GetToken()
	switch n := n.(type) {
	case *ast.NullNode:
		if out.text = tk.Value; tk.Type == token.ImplicitNullType {
			out.text = ""
		}
		return
	case *ast.StringNode:
		out.kind, out.text = stringKind, n.Value
		switch tk.Type {
		case token.SingleQuoteType:
			out.style = singleQuoted
		case token.DoubleQuoteType:
			out.style = doubleQuoted
		}
		return
	case *ast.LiteralNode:
		out.kind, out.text, out.style = stringKind, n.Value.Value, literal
		if n.Start.Type == token.FoldedType {
			out.style = folded
		}
		return
	case *ast.IntegerNode:
		out.kind = intKind
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind = floatKind
	case *ast.BoolNode:
		out.kind = boolKind
	default:
		b.fail(CodeSyntax, out.at, 1, plainSentence("this kind of YAML value is not supported"), sentence{})
		return
	}
	out.text = tk.Value
}

// beginOf returns where a value begins in the file.
func beginOf(n ast.Node) position {
	tk := n.GetToken()
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			tk = v.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		tk = v.Key.GetToken()
	}
	if tk == nil || tk.Position == nil {
		return position{1, 1}
	}
	return position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
}
