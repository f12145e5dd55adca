package cibxml

import (
	"bytes"
	"fmt"

	"github.com/quorate/quorate/crm/cib"
)

// maxProblems bounds the warnings of one document: nobody reads more, and a hostile document must not make
// a list of its own size.
const maxProblems = 200

// Read reads a whole document, the element cib. What the document says in the form of an older schema is
// kept as written; cib.Upgrade translates it. The warnings name what is not known: unknown elements are kept
// as cib.Unknown, unknown attributes are kept where the model has room for them and dropped where not.
//
// Text that is not well-formed XML, that is nested too deeply, or whose root is not cib, gives an error
// (*SyntaxError where a place is known) and no document. Read does not check what the document means.
func Read(data []byte) (*cib.Document, []cib.Problem, error) {
	return read(data, func(d *decoder, name string) {
		if name == "cib" {
			d.cib()
			return
		}
		hint := ""
		if name == "configuration" || name == "status" {
			hint = "; wrap it into <cib>...</cib>"
		}
		d.fail(d.start, "the root element is %q, expected \"cib\"%s", bounded(name), hint)
	})
}

// ReadPart reads a part of a configuration: one element that is the whole configuration, a section such as
// resources, or an object such as primitive or rsc_location; also a whole cib, whose status is read too. The
// result has only what the part says. In all else it is as Read.
func ReadPart(data []byte) (*cib.Document, []cib.Problem, error) {
	return read(data, func(d *decoder, name string) {
		section, isObject := sectionOf[name]
		switch {
		case name == "cib":
			d.cib()
		case name == "configuration":
			d.configuration()
		case isObject:
			d.around = "configuration/" + section
			d.object()
		case d.part():
		default:
			d.fail(d.start, "the root element is %q, expected a part of a configuration, such as configuration, resources or primitive", bounded(name))
		}
	})
}

// part reads a section that stands alone.
func (d *decoder) part() bool {
	d.around = "configuration"
	return d.section()
}

// read reads a text whose root element body reads.
func read(data []byte, body func(d *decoder, name string)) (*cib.Document, []cib.Problem, error) {
	if len(data) > MaxSize {
		return nil, nil, fmt.Errorf("the document has %d bytes; at most %d are read", len(data), MaxSize)
	}
	d := decoder{scanner: *newScanner(data), doc: &cib.Document{}}
	d.scanner.text = func() { d.warn(d.path(), "text between the elements is ignored") }
	d.scanner.setting = d.setting
	d.prolog()
	if d.next() {
		body(&d, string(d.name))
		if d.err == nil {
			d.next() // what follows the root
		}
	}
	if d.err != nil {
		return nil, nil, d.err
	}
	return d.doc, d.problems, nil
}

// decoder builds a document from what the scanner sees. Each method that is named after an element is called
// right after its start tag, and reads it to its end.
type decoder struct {
	scanner
	doc      *cib.Document
	problems []cib.Problem
	strings  interner

	node      *cib.Node // the node element that is open
	histories []cib.ResourceHistory
	ops       []cib.HistoryOp
	opArena   []cib.HistoryOp
}

func (d *decoder) warn(where, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, cib.Problem{Pos: d.at(), Where: where, Text: fmt.Sprintf(format, args...)})
	}
}

// at is the position of the start tag read last.
func (d *decoder) at() cib.Pos {
	line, column := d.position(d.start)
	return cib.Pos{Line: line, Column: column}
}

// str returns the value of an attribute.
func (d *decoder) str(a *attr) string {
	if a.plain {
		return d.strings.intern(a.value)
	}
	text, _, _ := decode(a.value)
	return string(text)
}

// get returns the value of the named attribute of the start tag read last; "" = none.
func (d *decoder) get(name string) string {
	for i := range d.attrs {
		if string(d.attrs[i].name) == name {
			return d.str(&d.attrs[i])
		}
	}
	return ""
}

// extra keeps an attribute that the model has no field for.
func (d *decoder) extra(list *[]cib.Attr, a *attr) {
	*list = append(*list, cib.Attr{Name: d.strings.intern(a.name), Value: d.str(a)})
}

// unknownAttribute reports an attribute that has no place.
func (d *decoder) unknownAttribute(a *attr) {
	d.warn(d.elementPath(), "unknown attribute %q is dropped", bounded(string(a.name)))
}

// onlyAttributes reports all attributes but the named ones.
func (d *decoder) onlyAttributes(names ...string) {
next:
	for i := range d.attrs {
		for _, name := range names {
			if string(d.attrs[i].name) == name {
				continue next
			}
		}
		d.unknownAttribute(&d.attrs[i])
	}
}

// elementPath is the path of the open element, with its id where it has one.
func (d *decoder) elementPath() string {
	path := string(d.name)
	if parent := d.path(); parent != "cib" {
		path = parent + "/" + path
	}
	if id := d.get("id"); id != "" {
		path += "[" + bounded(id) + "]"
	}
	return path
}

// leaf reads an element that has no children to its end.
func (d *decoder) leaf() {
	if d.empty { // the usual case
		d.next()
		return
	}
	for d.child() {
		d.skip("is not known here and is ignored")
	}
}

// skip reads an unknown element to its end and warns.
func (d *decoder) skip(what string) {
	d.warn(d.path(), "element %q %s", bounded(string(d.name)), what)
	d.discard()
}

// discard reads the open element to its end.
func (d *decoder) discard() {
	for depth := d.depth(); d.depth() >= depth && d.err == nil; {
		d.next()
	}
}

// unknown reads an unknown element to its end, warns, and keeps it in list.
func (d *decoder) unknown(list *[]cib.Unknown) {
	u := cib.Unknown{Parent: d.path(), Pos: d.at()}
	d.warn(u.Parent, "element %q is not known; it is kept and has no effect", bounded(string(d.name)))
	var b bytes.Buffer
	d.copyElement(&b)
	u.XML = b.String()
	*list = append(*list, u)
}

// unknownPart does the same in a resource, which is itself the parent.
func (d *decoder) unknownPart(r *cib.Resource) {
	d.unknown(&r.Unknown)
	r.Unknown[len(r.Unknown)-1].Parent = ""
}

// copyElement writes the open element as compact XML and reads it to its end.
func (d *decoder) copyElement(b *bytes.Buffer) {
	name := string(d.name)
	b.WriteByte('<')
	b.WriteString(name)
	for i := range d.attrs {
		b.WriteByte(' ')
		b.Write(d.attrs[i].name)
		b.WriteString(`="`)
		escape(b, d.str(&d.attrs[i]))
		b.WriteByte('"')
	}
	children := false
	for d.child() {
		if !children {
			b.WriteByte('>')
		}
		children = true
		d.copyElement(b)
	}
	if !children {
		b.WriteString("/>")
		return
	}
	b.WriteString("</")
	b.WriteString(name)
	b.WriteByte('>')
}

// setting reads a comment with settings that Pacemaker's schema has no place for.
func (d *decoder) setting(target, text []byte) {
	get := func(name string) string {
		value := pseudoAttribute(text, name)
		out, _, why := decode([]byte(value))
		if why != "" {
			return value
		}
		return string(out)
	}
	c := &d.doc.Config.Cluster
	switch string(target) {
	case "quorate-link":
		c.Links = append(c.Links, cib.LinkSettings{Name: get("name"), Priority: d.smallInt(target, get("priority")), Disabled: cib.IsTrue(get("disabled"))})
	case "quorate-timing":
		c.Timing = cib.TimingSettings{Profile: get("profile"), Heartbeat: get("heartbeat"), DeadAfter: get("dead-after"), QuorumTimeout: get("quorum-timeout")}
	case "quorate-ports":
		c.Ports = cib.PortSettings{Stream: d.smallInt(target, get("stream")), Datagram: d.smallInt(target, get("datagram"))}
	case "quorate-node":
		if d.node == nil {
			d.warn(d.path(), "the setting quorate-node outside of a node is ignored")
			return
		}
		d.node.Witness = cib.IsTrue(get("witness"))
		d.node.Voter = get("voter")
	case "quorate-node-link":
		if d.node == nil {
			d.warn(d.path(), "the setting quorate-node-link outside of a node is ignored")
			return
		}
		d.node.Links = append(d.node.Links, cib.NodeLink{Link: get("link"), Address: get("address")})
	default:
		d.warn(d.path(), "the setting %q is not known and is ignored", bounded(string(target)))
	}
}

func (d *decoder) smallInt(target []byte, text string) int {
	if text == "" {
		return 0
	}
	n, err := cib.ParseInteger(text)
	if err != nil || n < -1<<31 || n > 1<<31-1 {
		d.warn(string(target), "%q is no number of fitting size", bounded(text))
		return 0
	}
	return int(n)
}

func (d *decoder) cib() {
	h := &d.doc.Head
	for i := range d.attrs {
		a := &d.attrs[i]
		switch string(a.name) {
		case "admin_epoch":
			h.AdminEpoch = d.version(a)
		case "epoch":
			h.Epoch = d.version(a)
		case "num_updates":
			h.NumUpdates = d.version(a)
		case "validate-with":
			h.ValidateWith = d.str(a)
		case "crm_feature_set":
			h.FeatureSet = d.str(a)
		case "have-quorum":
			h.HaveQuorum = d.str(a)
		case "dc-uuid":
			h.DCUUID = d.str(a)
		case "execution-date":
			h.ExecutionDate = d.str(a)
		case "no-quorum-panic":
			h.NoQuorumPanic = d.str(a)
		case "cib-last-written":
			h.LastWritten = d.str(a)
		case "update-origin":
			h.UpdateOrigin = d.str(a)
		case "update-client":
			h.UpdateClient = d.str(a)
		case "update-user":
			h.UpdateUser = d.str(a)
		default:
			d.extra(&h.Extra, a)
		}
	}
	for d.child() {
		switch string(d.name) {
		case "configuration":
			d.configuration()
		case "status":
			d.status()
		default:
			d.unknown(&d.doc.Config.Extra)
		}
	}
}

func (d *decoder) version(a *attr) int64 {
	n, err := cib.ParseInteger(d.str(a))
	if err != nil {
		d.warn("cib", "%s=%q is no number; 0 is used", a.name, bounded(string(a.value)))
	}
	return n
}
