package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
)

// element is one XML element; a CIB has no text that matters.
type element struct {
	name     string
	attrs    []xml.Attr
	children []*element
}

func parseTree(data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	top := &element{}
	open := []*element{top}
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, attrs: append([]xml.Attr(nil), t.Attr...)}
			last := open[len(open)-1]
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.EndElement:
			if len(open) < 2 {
				return nil, errors.New("more ends than elements")
			}
			open = open[:len(open)-1]
		}
	}
	if len(top.children) != 1 {
		return nil, errors.New("not one root element")
	}
	return top.children[0], nil
}

func (e *element) write(b *bytes.Buffer, indent string) {
	b.WriteString(indent + "<" + e.name)
	for _, a := range e.attrs {
		if a.Name.Space != "" || a.Name.Local == "xmlns" {
			continue
		}
		b.WriteString(" " + a.Name.Local + `="`)
		_ = xml.EscapeText(b, []byte(a.Value)) // a bytes.Buffer takes everything
		b.WriteString(`"`)
	}
	if len(e.children) == 0 {
		b.WriteString("/>\n")
		return
	}
	b.WriteString(">\n")
	for _, c := range e.children {
		c.write(b, indent+" ")
	}
	b.WriteString(indent + "</" + e.name + ">\n")
}

func (e *element) text() []byte {
	var b bytes.Buffer
	e.write(&b, "")
	return b.Bytes()
}

func (e *element) get(name string) string {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *element) has(name string) bool {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return true
		}
	}
	return false
}

func (e *element) set(name, value string) {
	for i := range e.attrs {
		if e.attrs[i].Name.Local == name {
			e.attrs[i].Value = value
			return
		}
	}
	e.attrs = append(e.attrs, xml.Attr{Name: xml.Name{Local: name}, Value: value})
}

func (e *element) unset(name string) {
	for i := range e.attrs {
		if e.attrs[i].Name.Local == name {
			e.attrs = append(e.attrs[:i:i], e.attrs[i+1:]...)
			return
		}
	}
}

// all returns the elements below e with one of the names, in document order; all elements without names.
func (e *element) all(names ...string) []*element {
	var list []*element
	for _, c := range e.children {
		if len(names) == 0 {
			list = append(list, c)
		}
		for _, n := range names {
			if c.name == n {
				list = append(list, c)
			}
		}
		list = append(list, c.all(names...)...)
	}
	return list
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// need returns the child of the name, which it makes if there is none.
func (e *element) need(name, id string) *element {
	if c := e.child(name); c != nil {
		return c
	}
	c := &element{name: name}
	if id != "" {
		c.set("id", id)
	}
	e.children = append(e.children, c)
	return c
}

// drop removes an element from below e.
func (e *element) drop(gone *element) bool {
	for i, c := range e.children {
		if c == gone {
			e.children = append(e.children[:i:i], e.children[i+1:]...)
			return true
		}
		if c.drop(gone) {
			return true
		}
	}
	return false
}
