package config

import "github.com/goccy/go-yaml/ast"

func (b *builder) mapping(at position, values []*ast.MappingValueNode, depth int) *node {
	out := &node{kind: mapping, at: at, size: 1, height: 1}
	seen := make(map[string]position, len(values))
	var merges []*node
	for _, v := range values {
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			merges = append(merges, b.node(v.Value, depth+1))
			continue
		}
		key := b.key(v.Key, depth)
		val := b.node(v.Value, depth+1)
		if b.fatal {
			return out
		}
		if first, again := seen[key.text]; again {
			b.fail(CodeDuplicateKey, key.at, key.span(), newSentence("key %s is set twice", key.shownAsKey()),
				newSentence("it is already set on line %d", first.line))
			out.faulty = append(out.faulty, pair{key: key, value: val})
			continue
		}
		seen[key.text] = key.at
		if val.owner == nil {
			val.owner = key
		}
		out.pairs = append(out.pairs, pair{key: key, value: val})
		out.size += key.size
		out.grow(val)
	}
	for _, m := range merges {
		b.merge(out, m, seen)
	}
	return out
}

// key returns a mapping's key: a scalar, as it is written.
func (b *builder) key(n ast.MapKeyNode, depth int) *node {
	key := *b.node(n, depth+1)
	key.at = beginOf(n) // of the alias, if it is one
	if !key.scalar() {
		b.fail(CodeSyntax, key.at, 1, newSentence("a key must be text, found %s", foundValue{&key}), sentence{})
		return &node{at: key.at, kind: stringKind, size: 1, height: 1}
	}
	return &key
}

// merge adds the keys of a mapping, or of a list of mappings, that are not set.
func (b *builder) merge(out, from *node, seen map[string]position) {
	switch from.kind {
	case mapping:
	case sequence:
		for _, item := range from.items {
			if item.kind != mapping {
				b.fail(CodeSyntax, item.at, item.span(), newSentence("<< merges mappings, found %s", foundValue{item}), sentence{})
				out.faulty = append(out.faulty, pair{key: item, value: item})
				continue
			}
			b.merge(out, item, seen)
		}
		return
	default:
		b.fail(CodeSyntax, from.at, from.span(), newSentence("<< merges mappings, found %s", foundValue{from}), sentence{})
		out.faulty = append(out.faulty, pair{key: from, value: from}) // it has no key
		return
	}
	for _, p := range from.pairs {
		if _, ok := seen[p.key.text]; ok {
			continue
		}
		seen[p.key.text] = p.key.at
		out.pairs = append(out.pairs, pair{p.key, p.value, true})
		out.size += p.key.size
		out.grow(p.value)
	}
}
