package cibxml

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits on what is read. They are far above every real document and keep a hostile one from taking memory
// or stack.
const (
	maxDepth      = 200     // open elements
	maxAttributes = 256     // of one element
	maxText       = 1 << 20 // bytes of one attribute value
	// MaxSize is the largest document in bytes.
	MaxSize = 1 << 30
)

// SyntaxError says where a text is not XML, or not XML that this package reads.
type SyntaxError struct {
	Line, Column int // from 1; the column counts bytes
	Text         string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// attr is one attribute of the start tag that was read last.
type attr struct {
	name, value []byte // as written, without quotes
	plain       bool   // value needs no decoding
}

// scanner reads the subset of XML 1.0 that documents need: elements, attributes, character and predefined
// entity references, comments, processing instructions and CDATA. It knows no document type declaration and
// so no entities of a document's own. It checks that tags are balanced and attributes are not repeated.
//
// The first error is kept in err, and the scanner behaves as at the end of the text from then on.
type scanner struct {
	data []byte
	pos  int
	err  error

	open  [][]byte // names of open elements
	name  []byte   // of the start tag read last
	start int      // where that tag starts
	empty bool     // that tag is an empty-element tag; its end comes next
	attrs []attr

	comments    []string // crm shell comments since the last tag
	tagComments []string // those that stood before the start tag read last
	// around is the path of the element in which the whole text belongs; "" = none.
	around string
	// setting is called for each comment that holds a setting of our own (see the package documentation) with
	// its name and what follows.
	setting func(name, text []byte)
	// text is called for character data other than white space.
	text func()

	line, linePos, lineStart int // line number (from 0) of linePos, and where that line starts
	rooted                   bool
}

func newScanner(data []byte) *scanner {
	return &scanner{data: data, open: make([][]byte, 0, 16), attrs: make([]attr, 0, 32)}
}

// position returns line and column, from 1, of an offset that is not before the one asked for last.
func (s *scanner) position(at int) (line, column int) {
	if at < s.linePos {
		s.line, s.linePos, s.lineStart = 0, 0, 0
	}
	part := s.data[s.linePos:at]
	if n := bytes.Count(part, newline); n > 0 {
		s.line += n
		s.lineStart = s.linePos + bytes.LastIndexByte(part, '\n') + 1
	}
	s.linePos = at
	return s.line + 1, at - s.lineStart + 1
}

var newline = []byte{'\n'}

func (s *scanner) fail(at int, format string, args ...any) {
	if s.err == nil {
		line, column := s.position(min(at, len(s.data)))
		s.err = &SyntaxError{Line: line, Column: column, Text: fmt.Sprintf(format, args...)}
	}
}

// prolog reads what stands before the root element and leaves the scanner there.
func (s *scanner) prolog() {
	if bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")) {
		s.pos = 3
	}
	if bytes.HasPrefix(s.data, []byte("\xff\xfe")) || bytes.HasPrefix(s.data, []byte("\xfe\xff")) {
		s.fail(0, "the text is UTF-16; convert it to UTF-8")
		return
	}
	if !utf8.Valid(s.data) {
		at := 0
		for at < len(s.data) {
			r, n := utf8.DecodeRune(s.data[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		s.fail(at, "the text is not UTF-8 here; convert it to UTF-8")
		return
	}
	rest := s.data[s.pos:]
	if bytes.HasPrefix(rest, []byte("<?xml")) && len(rest) > 5 && isSpace(rest[5]) {
		end := bytes.Index(rest, []byte("?>"))
		if end < 0 {
			s.fail(s.pos, "the XML declaration has no end")
			return
		}
		declaration := rest[5:end]
		if encoding := pseudoAttribute(declaration, "encoding"); encoding != "" {
			switch strings.ToLower(encoding) {
			case "utf-8", "utf8", "us-ascii", "ascii":
			default:
				s.fail(s.pos, "encoding %q is not read; convert the text to UTF-8", bounded(encoding))
				return
			}
		}
		if version := pseudoAttribute(declaration, "version"); version != "" && !strings.HasPrefix(version, "1.") {
			s.fail(s.pos, "XML version %q is not read; expected 1.0", bounded(version))
			return
		}
		s.pos += end + 2
	}
}

// pseudoAttribute returns the value of name="value" in the text of a declaration or setting; "" = none.
func pseudoAttribute(text []byte, name string) string {
	rest := string(text)
	for {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return ""
		}
		after = strings.TrimLeft(after, " \t\r\n")
		if after == "" || after[0] != '"' && after[0] != '\'' {
			return ""
		}
		end := strings.IndexByte(after[1:], after[0])
		if end < 0 {
			return ""
		}
		if strings.TrimSpace(key) == name {
			return after[1 : end+1]
		}
		rest = after[end+2:]
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// Classes of bytes.
const (
	nameByte  = 1 << iota // may be part of a name
	nameStart             // may start a name
	plainByte             // may stand in an attribute value as it is
)

var classes = func() (t [256]uint8) {
	for c := range t {
		b := byte(c)
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_', b == ':', b >= 0x80:
			t[c] |= nameByte | nameStart
		case b >= '0' && b <= '9', b == '-', b == '.':
			t[c] |= nameByte
		}
		if b >= ' ' && b != '&' && b != '<' && b != '"' && b != '\'' {
			t[c] |= plainByte
		}
	}
	return t
}()

// bounded shortens foreign text for a message.
func bounded(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}

// next moves to the next tag. It returns true at a start tag, and false at an end tag, at the end of the
// text and after an error. An empty-element tag is a start tag followed by an end tag.
func (s *scanner) next() bool {
	if s.err != nil {
		return false
	}
	if s.empty {
		s.empty = false
		s.open = s.open[:len(s.open)-1]
		return false
	}
	for {
		at := bytes.IndexByte(s.data[s.pos:], '<')
		text := s.data[s.pos:]
		if at >= 0 {
			text = text[:at]
		}
		if !s.characters(text) {
			return false
		}
		if at < 0 {
			s.pos = len(s.data)
			switch {
			case len(s.open) > 0:
				s.fail(s.pos, "the text ends inside of element %q", bounded(string(s.open[len(s.open)-1])))
			case !s.rooted:
				s.fail(s.pos, "there is no element in the text; expected <cib>")
			}
			return false
		}
		s.pos += at
		if s.pos+1 >= len(s.data) {
			s.fail(s.pos, "the text ends inside of a tag")
			return false
		}
		switch s.data[s.pos+1] {
		case '/':
			s.endTag()
			return false
		case '!':
			if !s.declaration() {
				return false
			}
		case '?':
			if !s.instruction() {
				return false
			}
		default:
			return s.startTag()
		}
	}
}

// characters checks the text between two tags.
func (s *scanner) characters(text []byte) bool {
	for i, c := range text {
		if isSpace(c) {
			continue
		}
		if len(s.open) == 0 {
			s.fail(s.pos+i, "text outside of the root element: %q", bounded(string(text[i:])))
			return false
		}
		for j, c := range text {
			if c < ' ' && !isSpace(c) {
				s.fail(s.pos+j, "control character 0x%02x", c)
				return false
			}
		}
		if s.text != nil {
			s.text()
		}
		break
	}
	return true
}

// declaration reads a comment or a CDATA section.
func (s *scanner) declaration() bool {
	rest := s.data[s.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		end := bytes.Index(rest[4:], []byte("--"))
		if end < 0 {
			s.fail(s.pos, "the comment has no end")
			return false
		}
		end += 4
		if end+2 >= len(rest) || rest[end+2] != '>' {
			s.fail(s.pos+end, "\"--\" inside of a comment")
			return false
		}
		switch text := rest[4:end]; {
		case len(text) > maxText:
		case bytes.HasPrefix(text, []byte("#")):
			s.comments = append(s.comments, unescapeComment(string(text[1:])))
		case bytes.HasPrefix(text, []byte(settingPrefix)) && s.setting != nil && len(s.open) > 0:
			i := 0
			for i < len(text) && classes[text[i]]&nameByte != 0 {
				i++
			}
			s.setting(text[:i], text[i:])
		}
		s.pos += end + 3
		return true
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		end := bytes.Index(rest, []byte("]]>"))
		if end < 0 {
			s.fail(s.pos, "the CDATA section has no end")
			return false
		}
		text := rest[9:end]
		if len(s.open) == 0 {
			s.fail(s.pos, "a CDATA section outside of the root element")
			return false
		}
		if !s.characters(text) {
			return false
		}
		s.pos += end + 3
		return true
	case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
		s.fail(s.pos, "document type declarations are not accepted; remove it")
		return false
	}
	s.fail(s.pos, "unknown markup after \"<!\"; expected an element or a comment")
	return false
}

// settingPrefix starts the comments that hold settings of our own.
const settingPrefix = "quorate-"

// instruction skips a processing instruction.
func (s *scanner) instruction() bool {
	rest := s.data[s.pos:]
	end := 2 + bytes.Index(rest[2:], []byte("?>"))
	if end < 2 {
		s.fail(s.pos, "the processing instruction has no end")
		return false
	}
	text := rest[2:end]
	i := 0
	for i < len(text) && classes[text[i]]&nameByte != 0 {
		i++
	}
	if i == 0 || classes[text[0]]&nameStart == 0 {
		s.fail(s.pos, "the processing instruction has no name")
		return false
	}
	if strings.EqualFold(string(text[:i]), "xml") {
		s.fail(s.pos, "an XML declaration that is not at the start of the text")
		return false
	}
	s.pos += end + 2
	return true
}

// endTag reads an end tag.
func (s *scanner) endTag() {
	at := s.pos + 2
	end := at
	for end < len(s.data) && classes[s.data[end]]&nameByte != 0 {
		end++
	}
	name := s.data[at:end]
	for end < len(s.data) && isSpace(s.data[end]) {
		end++
	}
	if end >= len(s.data) || s.data[end] != '>' {
		s.fail(s.pos, "the end tag of %q has no \">\"", bounded(string(name)))
		return
	}
	if len(s.open) == 0 {
		s.fail(s.pos, "end tag %q without a start tag", bounded(string(name)))
		return
	}
	if want := s.open[len(s.open)-1]; !bytes.Equal(name, want) {
		s.fail(s.pos, "end tag %q, but the open element is %q", bounded(string(name)), bounded(string(want)))
		return
	}
	s.open = s.open[:len(s.open)-1]
	s.pos = end + 1
	s.comments = s.comments[:0]
}

// startTag reads a start tag or an empty-element tag with its attributes.
func (s *scanner) startTag() bool {
	data, pos := s.data, s.pos+1
	s.start = s.pos
	begin := pos
	for pos < len(data) && classes[data[pos]]&nameByte != 0 {
		pos++
	}
	if pos == begin || classes[data[begin]]&nameStart == 0 {
		s.fail(s.start, "\"<\" that starts no tag; write &lt; in a text")
		return false
	}
	if len(s.open) == 0 && s.rooted {
		s.fail(s.start, "a second root element %q", bounded(string(data[begin:pos])))
		return false
	}
	if len(s.open) >= maxDepth {
		s.fail(s.start, "elements are nested more than %d deep", maxDepth)
		return false
	}
	s.name = data[begin:pos]
	s.attrs = s.attrs[:0]
	s.comments, s.tagComments = s.tagComments[:0], s.comments
	for {
		space := pos
		for pos < len(data) && isSpace(data[pos]) {
			pos++
		}
		if pos >= len(data) {
			s.fail(s.start, "the tag of %q has no end", bounded(string(s.name)))
			return false
		}
		switch data[pos] {
		case '>':
			s.open = append(s.open, s.name)
			s.pos, s.rooted = pos+1, true
			return true
		case '/':
			if pos+1 >= len(data) || data[pos+1] != '>' {
				s.fail(pos, "\"/\" in the tag of %q without \">\"", bounded(string(s.name)))
				return false
			}
			s.open = append(s.open, s.name)
			s.pos, s.empty, s.rooted = pos+2, true, true
			return true
		}
		if pos == space {
			s.fail(pos, "no space before an attribute of %q", bounded(string(s.name)))
			return false
		}
		if pos = s.attribute(pos); s.err != nil {
			return false
		}
	}
}

// attribute reads the attribute at pos and returns where it ends.
func (s *scanner) attribute(pos int) int {
	data := s.data
	begin := pos
	for pos < len(data) && classes[data[pos]]&nameByte != 0 {
		pos++
	}
	name := data[begin:pos]
	if len(name) == 0 || classes[name[0]]&nameStart == 0 {
		s.fail(begin, "no attribute name in the tag of %q", bounded(string(s.name)))
		return pos
	}
	for pos < len(data) && isSpace(data[pos]) {
		pos++
	}
	if pos >= len(data) || data[pos] != '=' {
		s.fail(begin, "attribute %q has no value", bounded(string(name)))
		return pos
	}
	pos++
	for pos < len(data) && isSpace(data[pos]) {
		pos++
	}
	if pos >= len(data) || data[pos] != '"' && data[pos] != '\'' {
		s.fail(begin, "the value of attribute %q is not in quotes", bounded(string(name)))
		return pos
	}
	quote := data[pos]
	pos++
	value := pos
	plain := true
	for {
		for pos < len(data) && classes[data[pos]]&plainByte != 0 {
			pos++
		}
		if pos >= len(data) {
			s.fail(begin, "the value of attribute %q has no end", bounded(string(name)))
			return pos
		}
		c := data[pos]
		if c == quote {
			break
		}
		switch {
		case c == '<':
			s.fail(pos, "\"<\" in the value of attribute %q; write &lt;", bounded(string(name)))
			return pos
		case c == '&', isSpace(c):
			plain = false
		case c < ' ':
			s.fail(pos, "control character 0x%02x in attribute %q", c, bounded(string(name)))
			return pos
		}
		pos++
	}
	if pos-value > maxText {
		s.fail(begin, "the value of attribute %q is longer than %d bytes", bounded(string(name)), maxText)
		return pos
	}
	for i := range s.attrs {
		if len(s.attrs[i].name) == len(name) && s.attrs[i].name[0] == name[0] && bytes.Equal(s.attrs[i].name, name) {
			s.fail(begin, "attribute %q is given twice", bounded(string(name)))
			return pos
		}
	}
	if len(s.attrs) >= maxAttributes {
		s.fail(begin, "element %q has more than %d attributes", bounded(string(s.name)), maxAttributes)
		return pos
	}
	if !plain {
		// Malformed references are errors of the text, whether or not the value is used.
		if _, at, why := decode(data[value:pos]); why != "" {
			s.fail(value+at, "%s in attribute %q", why, bounded(string(name)))
			return pos
		}
	}
	s.attrs = append(s.attrs, attr{name: name, value: data[value:pos], plain: plain})
	return pos + 1
}

// decode replaces references and white space in an attribute value. On an error it says what is wrong and
// where.
func decode(value []byte) (text []byte, at int, why string) {
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch c {
		case '\r':
			if i+1 < len(value) && value[i+1] == '\n' {
				continue
			}
			out = append(out, ' ')
		case '\n', '\t':
			out = append(out, ' ')
		case '&':
			end := bytes.IndexByte(value[i:min(len(value), i+16)], ';')
			if end < 0 {
				return nil, i, "\"&\" that starts no reference (write &amp;)"
			}
			name := string(value[i+1 : i+end])
			switch name {
			case "lt":
				out = append(out, '<')
			case "gt":
				out = append(out, '>')
			case "amp":
				out = append(out, '&')
			case "quot":
				out = append(out, '"')
			case "apos":
				out = append(out, '\'')
			default:
				r, ok := characterReference(name)
				if !ok {
					return nil, i, fmt.Sprintf("unknown reference %q", "&"+name+";")
				}
				out = utf8.AppendRune(out, r)
			}
			i += end
		default:
			out = append(out, c)
		}
	}
	return out, 0, ""
}

// characterReference returns the character of a reference such as "#10" or "#xA".
func characterReference(name string) (rune, bool) {
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune {
		return 0, false
	}
	r := rune(n)
	if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0xd800 && r <= 0xdfff || r == 0xfffe || r == 0xffff {
		return 0, false
	}
	return r, true
}

// depth is the number of open elements.
func (s *scanner) depth() int { return len(s.open) }

// child moves to the next child of the element at depth, all of whose earlier children were read to their
// end. It returns false when there is none; the element is closed then.
func (s *scanner) child() bool { return s.next() }

// path returns the names of the open elements without the root cib and the innermost, joined with slashes;
// "cib" where there are none. What stands around the text (see ReadPart) comes first.
func (s *scanner) path() string {
	names := s.open
	if len(names) > 0 {
		names = names[:len(names)-1]
	}
	if len(names) > 0 && string(names[0]) == "cib" {
		names = names[1:]
	}
	path := string(bytes.Join(names, []byte("/")))
	switch {
	case s.around == "" && path == "":
		return "cib"
	case s.around == "" || path == "":
		return s.around + path
	}
	return s.around + "/" + path
}

// takeComments returns the crm shell comments that stood before the start tag read last.
func (s *scanner) takeComments() []string {
	if len(s.tagComments) == 0 {
		return nil
	}
	list := make([]string, len(s.tagComments))
	copy(list, s.tagComments)
	return list
}

// Comments in XML must not hold "--" nor end with "-".
func escapeComment(text string) string {
	text = strings.ReplaceAll(text, `\`, `\\`)
	text = strings.ReplaceAll(text, "--", `-\-`)
	text = strings.ReplaceAll(text, "--", `-\-`)
	if strings.HasSuffix(text, "-") {
		text += `\`
	}
	return text
}

func unescapeComment(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			if i+1 >= len(text) {
				break
			}
			if text[i+1] == '\\' {
				i++
				b.WriteByte('\\')
			}
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
