package cibtoml

import (
	"strings"
)

// maxInline is the longest line that an inline table or array makes; longer ones are spread over lines.
const maxInline = 100

// printer writes sections, each a table with a header, in the order given.
type printer struct{ strings.Builder }

// section writes a table under its header: "[path]", or "[[path]]" for an element of an array.
func (p *printer) section(header string, n *node) {
	if p.Len() > 0 {
		p.WriteByte('\n')
	}
	if header != "" {
		p.WriteString(header)
		p.WriteByte('\n')
	}
	p.pairs("", n)
}

func (p *printer) pairs(prefix string, n *node) {
	for i, key := range n.keys {
		p.pair(prefix+quoteKey(key), n.values[i])
	}
}

func (p *printer) pair(key string, v *node) {
	var b strings.Builder
	inline(&b, v)
	// Operations always have a line each: they are what people compare.
	if len(key)+3+b.Len() <= maxInline && key != "op" || v.kind != kindTable && v.kind != kindArray || len(v.keys)+len(v.items) == 0 {
		p.WriteString(key)
		p.WriteString(" = ")
		p.WriteString(b.String())
		p.WriteByte('\n')
		return
	}
	if v.kind == kindTable {
		p.pairs(key+".", v)
		return
	}
	p.WriteString(key)
	p.WriteString(" = [\n")
	for _, item := range v.items {
		p.WriteString("  ")
		var line strings.Builder
		inline(&line, item)
		p.WriteString(line.String())
		p.WriteString(",\n")
	}
	p.WriteString("]\n")
}

// inline writes a value in one line.
func inline(b *strings.Builder, n *node) {
	switch n.kind {
	case kindText:
		b.WriteString(quote(n.text))
	case kindTable:
		if len(n.keys) == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteString("{ ")
		for i, key := range n.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoteKey(key))
			b.WriteString(" = ")
			inline(b, n.values[i])
		}
		b.WriteString(" }")
	case kindArray:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			inline(b, item)
		}
		b.WriteByte(']')
	default:
		b.WriteString(n.text)
	}
}
