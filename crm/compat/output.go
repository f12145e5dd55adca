package compat

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/quorate/quorate/crm/status"
)

// output is where a tool with --output-as writes: plain text, or XML with the root element of the field's tools.
type output struct {
	f      *frame
	args   []string
	format string // "", text, xml or none
	to     string
	xml    *status.XMLWriter // nil for text
	file   *os.File
	errors []string
}

func (o *output) table() []option {
	return []option{
		{long: "output-as", value: true, arg: "FORMAT", help: "text (default) or xml", set: func(s string) error {
			if s != "text" && s != "xml" && s != "none" {
				return fmt.Errorf("unknown output format %q: text, xml or none", s)
			}
			o.format = s
			return nil
		}},
		{long: "output-to", value: true, arg: "FILE", help: "write to FILE; - is standard output", set: text(&o.to)},
		{long: "text-fancy", help: "accepted", set: func(string) error { return nil }},
	}
}

// begin opens the output once the options are read.
func (o *output) begin(f *frame, args []string) error {
	o.f, o.args = f, args
	if o.to != "" && o.to != "-" {
		file, err := os.Create(o.to)
		if err != nil {
			return &codeError{exitCantCreate, err}
		}
		o.file, f.io.Out = file, file
	}
	switch o.format {
	case "xml":
		o.xml = status.Result(append([]string{f.name}, args...)...)
	case "none":
		f.io.Out = io.Discard
	}
	return nil
}

// printf writes text, which XML leaves out.
func (o *output) printf(format string, a ...any) {
	if o.xml == nil {
		fmt.Fprintf(o.f.io.Out, format, a...)
	}
}

// warn writes to the error output; XML has it in its status.
func (o *output) warn(format string, a ...any) {
	if o.xml == nil {
		fmt.Fprintf(o.f.io.Err, format+"\n", a...)
		return
	}
	o.errors = append(o.errors, fmt.Sprintf(format, a...))
}

// element writes an element with text in XML.
func (o *output) element(name, content string, attributes ...string) {
	var b strings.Builder
	for i := 0; i < len(attributes); i += 2 {
		fmt.Fprintf(&b, " %s=\"%s\"", attributes[i], htmlEscaper.Replace(attributes[i+1]))
	}
	o.xml.Raw(fmt.Sprintf("%s<%s%s>%s</%s>\n", strings.Repeat("  ", o.xml.Depth()), name, b.String(), htmlEscaper.Replace(content), name))
}

// list writes names one per line, or as the list element of the field's XML.
func (o *output) list(title, item string, names []string) {
	if o.xml == nil {
		for _, n := range names {
			o.printf("%s\n", n)
		}
		return
	}
	o.xml.Open("list", "name", title, "count", fmt.Sprint(len(names)))
	for _, n := range names {
		o.element("item", n, "name", item)
	}
	o.xml.Close("list")
}

// end says what went wrong and returns the exit code.
func (o *output) end(err error) int {
	code := exitCode(err)
	if o.xml == nil {
		if err != nil && err.Error() != "" {
			o.f.fail(code, "%v", err)
		}
	} else {
		if err != nil && err.Error() != "" {
			o.errors = append(o.errors, o.f.name+": "+err.Error())
		}
		status.EndResult(o.xml, code, exitText(code), o.errors...)
		fmt.Fprint(o.f.io.Out, o.xml.String())
	}
	if o.file != nil {
		if err := o.file.Close(); err != nil && code == exitOK {
			return o.f.fail(exitIOErr, "%v", err)
		}
	}
	return code
}
