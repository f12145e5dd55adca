package cib

import "strings"

// Layout is the order in which the parts of an object were written: one letter for each part, the constants
// below. "" is the usual order. It decides in which order the crm and XML forms print the parts, and nothing
// else: like a position it does not count when documents are compared.
type Layout string

// Parts of objects. The letters are written to disk.
const (
	PartParams      = 'p' // instance attributes; of a node its attributes
	PartMeta        = 'm'
	PartUtilization = 'u'
	PartOperations  = 'o'
	PartContainer   = 'c'
	PartNetwork     = 'n'
	PartStorage     = 's'
	PartMember      = 'r' // primitive of a bundle, recipient of an alert
	PartSelect      = 'f'
	PartInterval    = 'i' // of an operation
	PartAttribute   = 'x' // of an operation, each of Extra
	PartID          = 'd' // of a port or storage mapping
	PartPort        = 'l'
	PartInternal    = 'k'
	PartRange       = 'g'
	PartSource      = 'a'
	PartSourceRoot  = 'b'
	PartTarget      = 't'
	PartOptions     = 'e'
)

// Usual orders, those of objects whose Layout is "".
const (
	usualResource  = "pmuo"
	usualBundle    = "cnsrmpu"
	usualNode      = "pu"
	usualAlert     = "pmfr"
	usualOperation = "ixpm"
	usualPort      = "dlkg"
	usualStorage   = "dabte"
)

// layoutLimit bounds what is kept of an order; parts beyond it come in the usual order.
const layoutLimit = 64

// layout makes a layout of the parts as they were written.
func layout(parts []byte, usual string) Layout {
	last := 0
	for _, part := range parts {
		at := strings.IndexByte(usual, part)
		if at < last {
			return Layout(parts[:min(len(parts), layoutLimit)])
		}
		last = at
	}
	return ""
}

// each calls visit for every part in its order: the number of a part counts from 0 among those of its letter,
// of which there are count.
func (l Layout) each(usual string, count func(part byte) int, visit func(part byte, i int)) {
	var seen [0x80]int
	for i := range len(l) {
		if part := l[i]; part < 0x80 && strings.IndexByte(usual, part) >= 0 && seen[part] < count(part) {
			visit(part, seen[part])
			seen[part]++
		}
	}
	for i := range len(usual) {
		part := usual[i]
		for n := count(part); seen[part] < n; seen[part]++ {
			visit(part, seen[part])
		}
	}
}

func one(there bool) int {
	if there {
		return 1
	}
	return 0
}

func (r *Resource) usual() string {
	if r.Kind == Bundle {
		return usualBundle
	}
	return usualResource
}

// SetLayout keeps the order in which the parts of the resource were written.
func (r *Resource) SetLayout(parts []byte) { r.Layout = layout(parts, r.usual()) }

// SetLayout keeps the order in which the parts of the node were written.
func (n *Node) SetLayout(parts []byte) { n.Layout = layout(parts, usualNode) }

// SetLayout keeps the order in which the parts of the operation were written.
func (o *Operation) SetLayout(parts []byte) { o.Layout = layout(parts, usualOperation) }

// SetLayout keeps the order in which the parts of the alert were written.
func (a *Alert) SetLayout(parts []byte) { a.Layout = layout(parts, usualAlert) }

// SetLayout keeps the order in which the parts of the recipient were written.
func (r *AlertRecipient) SetLayout(parts []byte) { r.Layout = layout(parts, usualAlert) }

// SetLayout keeps the order in which the attributes were written.
func (p *PortMapping) SetLayout(parts []byte) { p.Layout = layout(parts, usualPort) }

// SetLayout keeps the order in which the attributes were written.
func (m *StorageMapping) SetLayout(parts []byte) { m.Layout = layout(parts, usualStorage) }

// EachPart calls visit for the sets of attributes, the operations and the parts of a bundle in their order.
// Members of groups and clones are no parts: their place is fixed in every form.
func (r *Resource) EachPart(visit func(part byte, i int)) {
	r.Layout.each(r.usual(), func(part byte) int {
		switch part {
		case PartParams:
			return len(r.Params)
		case PartMeta:
			return len(r.Meta)
		case PartUtilization:
			return len(r.Utilization)
		case PartOperations:
			o := &r.Operations
			return one(o.ID != "" || o.IDRef != "" || len(o.Attributes) > 0 || len(o.List) > 0)
		case PartContainer:
			return one(r.Bundle != nil && r.Bundle.Engine != "")
		case PartNetwork:
			return one(r.Bundle != nil && r.Bundle.HasNetwork)
		case PartStorage:
			return one(r.Bundle != nil && r.Bundle.HasStorage)
		case PartMember:
			return len(r.Members)
		}
		return 0
	}, visit)
}

// EachPart calls visit for the attributes and utilization of a node in their order.
func (n *Node) EachPart(visit func(part byte, i int)) {
	n.Layout.each(usualNode, func(part byte) int {
		if part == PartUtilization {
			return len(n.Utilization)
		}
		return len(n.Attributes)
	}, visit)
}

// EachPart calls visit for interval, other attributes and sets of attributes of an operation in their order.
func (o *Operation) EachPart(visit func(part byte, i int)) {
	o.Layout.each(usualOperation, func(part byte) int {
		switch part {
		case PartInterval:
			return one(o.Interval != "")
		case PartAttribute:
			return len(o.Extra)
		case PartParams:
			return len(o.Params)
		}
		return len(o.Meta)
	}, visit)
}

// EachPart calls visit for the sets of attributes, the selection and the recipients of an alert in their order.
func (a *Alert) EachPart(visit func(part byte, i int)) {
	a.Layout.each(usualAlert, func(part byte) int {
		switch part {
		case PartParams:
			return len(a.Params)
		case PartMeta:
			return len(a.Meta)
		case PartSelect:
			return one(a.Select != nil)
		}
		return len(a.Recipients)
	}, visit)
}

// EachPart calls visit for the sets of attributes of a recipient in their order.
func (r *AlertRecipient) EachPart(visit func(part byte, i int)) {
	r.Layout.each(usualAlert, func(part byte) int {
		switch part {
		case PartParams:
			return len(r.Params)
		case PartMeta:
			return len(r.Meta)
		}
		return 0
	}, visit)
}

// MappingPart returns the part that an attribute of a port or storage mapping is; 0 = no attribute of one.
func MappingPart(name string) byte {
	switch name {
	case "id":
		return PartID
	case "port":
		return PartPort
	case "internal-port":
		return PartInternal
	case "range":
		return PartRange
	case "source-dir":
		return PartSource
	case "source-dir-root":
		return PartSourceRoot
	case "target-dir":
		return PartTarget
	case "options":
		return PartOptions
	}
	return 0
}

// Attributes returns the attributes that are set, in their order.
func (p *PortMapping) Attributes() []Attr {
	return mapping(p.Layout, usualPort, func(part byte) Attr {
		switch part {
		case PartID:
			return Attr{"id", p.ID}
		case PartPort:
			return Attr{"port", p.Port}
		case PartInternal:
			return Attr{"internal-port", p.InternalPort}
		}
		return Attr{"range", p.Range}
	})
}

// Attributes returns the attributes that are set, in their order.
func (m *StorageMapping) Attributes() []Attr {
	return mapping(m.Layout, usualStorage, func(part byte) Attr {
		switch part {
		case PartID:
			return Attr{"id", m.ID}
		case PartSource:
			return Attr{"source-dir", m.SourceDir}
		case PartSourceRoot:
			return Attr{"source-dir-root", m.SourceDirRoot}
		case PartTarget:
			return Attr{"target-dir", m.TargetDir}
		}
		return Attr{"options", m.Options}
	})
}

func mapping(l Layout, usual string, get func(part byte) Attr) []Attr {
	var out []Attr
	l.each(usual, func(byte) int { return 1 }, func(part byte, _ int) {
		if a := get(part); a.Value != "" {
			out = append(out, a)
		}
	})
	return out
}
