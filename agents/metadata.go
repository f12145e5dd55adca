package agents

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of agent metadata, which is foreign text. The largest known are about 100 KiB.
const (
	MaxMetadata         = 1 << 20
	maxMetadataDepth    = 16
	maxMetadataElements = 20000
)

// ErrMetadata is in the chain of every error about metadata that cannot be used.
var ErrMetadata = errors.New("agent metadata not usable")

// Metadata is what an agent says of itself. Texts are as written, trimmed; of several languages English is
// taken, else the first.
type Metadata struct {
	Name        string
	Version     string // of the agent
	OCFVersion  string // of the standard, "1.0" or "1.1"; "" for fence agents
	ShortDesc   string
	LongDesc    string
	VendorURL   string // fence agents
	Parameters  []Parameter
	Actions     []ActionInfo
	Attributes  map[string]string // of the root element, for example agent="fence_x"
	SupportsRun bool              // the operation names include start and stop (resource agents)
}

// Parameter describes one parameter.
type Parameter struct {
	Name        string
	Required    bool
	Unique      bool   // no two resources may have the same value
	UniqueGroup string // parameters of a group must be unique together (OCF 1.1)
	Reloadable  bool   // a change needs no restart (OCF 1.1)
	Private     bool   // the value is a secret: marked so, or a parameter of a fence agent which is known to be one
	Deprecated  bool
	ReplacedBy  []string
	Type        string // string, boolean, integer, second, select, percentage, port; "" = not said
	Default     string
	HasDefault  bool
	Options     []string // of type select
	ShortDesc   string
	LongDesc    string
}

// ActionInfo describes one operation, possibly several times with different depth or role.
type ActionInfo struct {
	Name       string
	Timeout    time.Duration // 0 = not said
	Interval   time.Duration
	StartDelay time.Duration
	Depth      string // OCF_CHECK_LEVEL
	Role       string
	Automatic  bool // fence agents: the device unfences by itself when a node joins
	OnTarget   bool // fence agents: must run on the node itself
}

// Parameter returns the description of the parameter, false if the agent has none of that name.
func (m *Metadata) Parameter(name string) (Parameter, bool) {
	for _, p := range m.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// Action returns the first description of the operation.
func (m *Metadata) Action(name Operation) (ActionInfo, bool) {
	for _, a := range m.Actions {
		if a.Name == string(name) {
			return a, true
		}
	}
	return ActionInfo{}, false
}

// element is a bounded XML tree without the mixed order of text and children, which metadata does not use.
type element struct {
	name     string
	attrs    map[string]string
	text     strings.Builder
	children []*element
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// flag reads a boolean attribute in any of the spellings in use.
func (e *element) flag(name string) bool {
	switch strings.ToLower(strings.TrimSpace(e.attrs[name])) {
	case "1", "true", "yes", "on", "y":
		return true
	}
	return false
}

// description returns the text of the child of that name in English, else in the first language given.
func (e *element) description(name string) string {
	var first *element
	for _, c := range e.children {
		if c.name != name {
			continue
		}
		if lang := c.attrs["lang"]; lang == "en" || strings.HasPrefix(lang, "en_") || strings.HasPrefix(lang, "en-") {
			return strings.TrimSpace(c.text.String())
		}
		if first == nil {
			first = c
		}
	}
	if first == nil {
		return ""
	}
	return strings.TrimSpace(first.text.String())
}

// ParseMetadata reads the XML text of resource and fence agents. It takes what agents really print: text
// before the XML, old attribute spellings, other 8-bit encodings, control characters. It refuses texts over
// MaxMetadata, and those without a resource-agent element.
func ParseMetadata(text []byte) (*Metadata, error) {
	if len(text) > MaxMetadata {
		return nil, fmt.Errorf("%d bytes: at most %d: %w", len(text), MaxMetadata, ErrMetadata)
	}
	root, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	m := &Metadata{
		Name:       root.attrs["name"],
		Version:    root.attrs["version"],
		ShortDesc:  strings.TrimSpace(root.attrs["shortdesc"]),
		LongDesc:   root.description("longdesc"),
		Attributes: root.attrs,
	}
	if short := root.description("shortdesc"); short != "" {
		m.ShortDesc = short
	}
	if v := root.child("version"); v != nil {
		m.OCFVersion = strings.TrimSpace(v.text.String())
	}
	if v := root.child("vendor-url"); v != nil {
		m.VendorURL = strings.TrimSpace(v.text.String())
	}
	if list := root.child("parameters"); list != nil {
		for _, c := range list.children {
			if c.name == "parameter" && c.attrs["name"] != "" {
				m.Parameters = append(m.Parameters, parameterOf(c))
			}
		}
	}
	var start, stop bool
	if list := root.child("actions"); list != nil {
		for _, c := range list.children {
			if c.name != "action" || c.attrs["name"] == "" {
				continue
			}
			a := actionOf(c)
			start = start || a.Name == string(OpStart)
			stop = stop || a.Name == string(OpStop)
			m.Actions = append(m.Actions, a)
		}
	}
	m.SupportsRun = start && stop
	return m, nil
}

func parameterOf(e *element) Parameter {
	p := Parameter{
		Name:        e.attrs["name"],
		Required:    e.flag("required"),
		Unique:      e.flag("unique"),
		UniqueGroup: e.attrs["unique-group"],
		Reloadable:  e.flag("reloadable"),
		Private:     e.flag("private"),
		Deprecated:  e.flag("deprecated"),
		ShortDesc:   e.description("shortdesc"),
		LongDesc:    e.description("longdesc"),
	}
	if by := e.attrs["obsoletes"]; by != "" {
		// Fence agents say it on the new parameter; kept here so that nothing is lost.
		p.ReplacedBy = append(p.ReplacedBy, by)
	}
	if d := e.child("deprecated"); d != nil {
		p.Deprecated = true
		for _, c := range d.children {
			if c.name == "replaced-with" && c.attrs["name"] != "" {
				p.ReplacedBy = append(p.ReplacedBy, c.attrs["name"])
			}
		}
	}
	if c := e.child("content"); c != nil {
		p.Type = c.attrs["type"]
		p.Default, p.HasDefault = c.attrs["default"], hasKey(c.attrs, "default")
		for _, o := range c.children {
			if o.name == "option" {
				p.Options = append(p.Options, o.attrs["value"])
			}
		}
	}
	if d, found := e.attrs["default"]; found && !p.HasDefault {
		p.Default, p.HasDefault = d, true // old fence agents
	}
	switch p.Name {
	// The fence agent API gives these their meaning; its metadata has no mark for secrets.
	case "password", "passwd", "snmp_priv_passwd", "snmp-priv-passwd":
		p.Private = true
	}
	return p
}

func hasKey(m map[string]string, key string) bool {
	_, found := m[key]
	return found
}

func actionOf(e *element) ActionInfo {
	first := func(names ...string) time.Duration {
		for _, n := range names {
			if d, err := ParseDuration(e.attrs[n]); err == nil {
				return d
			}
		}
		return 0
	}
	a := ActionInfo{
		Name:       strings.TrimSpace(e.attrs["name"]),
		Timeout:    first("timeout"),
		Interval:   first("interval"),
		StartDelay: first("start-delay", "start_delay"),
		Depth:      e.attrs["depth"],
		Role:       e.attrs["role"],
		Automatic:  e.flag("automatic"),
		OnTarget:   e.flag("on_target"),
	}
	if a.Name == "metadata" || a.Name == "meta_data" {
		a.Name = string(OpMetadata)
	}
	switch a.Role { // OCF 1.0 names
	case "Master":
		a.Role = "Promoted"
	case "Slave":
		a.Role = "Unpromoted"
	}
	return a
}

// ParseDuration reads a time as agents and operations write it: a number with or without a unit out of ms,
// msec, us, usec, s, sec, m, min, h, hr; a plain number means seconds. The result is capped at MaxTimeout.
func ParseDuration(text string) (time.Duration, error) {
	s := strings.TrimSpace(text)
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.') {
		end++
	}
	number, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0, fmt.Errorf("duration %q: expected a number and a unit, such as 20s", bounded(text))
	}
	var unit time.Duration
	switch strings.ToLower(strings.TrimSpace(s[end:])) {
	case "", "s", "sec", "second", "seconds":
		unit = time.Second
	case "ms", "msec":
		unit = time.Millisecond
	case "us", "usec":
		unit = time.Microsecond
	case "m", "min", "minutes":
		unit = time.Minute
	case "h", "hr":
		unit = time.Hour
	default:
		return 0, fmt.Errorf("duration %q: unknown unit: use ms, s, min or h", bounded(text))
	}
	d := number * float64(unit)
	if d >= float64(MaxTimeout) || math.IsInf(d, 0) {
		return MaxTimeout, nil
	}
	return time.Duration(d), nil
}

// parseTree reads the element resource-agent into a bounded tree.
func parseTree(text []byte) (*element, error) {
	start := bytes.Index(text, []byte("<?xml"))
	if start < 0 {
		start = bytes.Index(text, []byte("<resource-agent"))
	}
	if start < 0 {
		return nil, fmt.Errorf("no resource-agent element: %w", ErrMetadata)
	}
	d := xml.NewDecoder(bytes.NewReader(printable(text[start:])))
	d.Strict = false
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // printable did it
	var stack []*element
	count := 0
	for {
		token, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("the resource-agent element does not end: %w", ErrMetadata)
			}
			return nil, fmt.Errorf("line %d: %v: %w", line(text, start+int(d.InputOffset())), err, ErrMetadata)
		}
		switch t := token.(type) {
		case xml.StartElement:
			count++
			if count > maxMetadataElements || len(stack) >= maxMetadataDepth {
				return nil, fmt.Errorf("line %d: more than %d elements or %d levels: %w", line(text, start+int(d.InputOffset())), maxMetadataElements, maxMetadataDepth, ErrMetadata)
			}
			if len(stack) == 0 && t.Name.Local != "resource-agent" {
				return nil, fmt.Errorf("the first element is %q: expected resource-agent: %w", bounded(t.Name.Local), ErrMetadata)
			}
			e := &element{name: t.Name.Local, attrs: make(map[string]string, len(t.Attr))}
			for _, a := range t.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			if len(stack) > 0 {
				parent := stack[len(stack)-1]
				parent.children = append(parent.children, e)
			}
			stack = append(stack, e)
		case xml.EndElement:
			if len(stack) == 0 {
				return nil, fmt.Errorf("line %d: end of an element that was not opened: %w", line(text, start+int(d.InputOffset())), ErrMetadata)
			}
			if len(stack) == 1 {
				return stack[0], nil // what follows is not part of the metadata
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(t)
			}
		}
	}
}

func line(text []byte, offset int) int {
	return 1 + bytes.Count(text[:min(offset, len(text))], []byte("\n"))
}

// printable makes text that an XML decoder takes: valid UTF-8, where invalid bytes are read as ISO 8859-1
// (what agents of old print), without control characters that XML forbids.
func printable(text []byte) []byte {
	clean := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			clean = utf8.AppendRune(clean, rune(text[0]))
		case r < ' ' && r != '\n' && r != '\t' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			// dropped
		default:
			clean = append(clean, text[:size]...)
		}
		text = text[size:]
	}
	return clean
}
