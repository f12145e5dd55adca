package cibxml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

func TestRead_Errors(t *testing.T) {
	t.Parallel()
	deep := "<cib>" + strings.Repeat("<x>", 10000) + strings.Repeat("</x>", 10000) + "</cib>"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "there is no element"},
		{"white space", " \n ", "there is no element"},
		{"text", "hello", "text outside of the root element"},
		{"other root", "<configuration/>", `the root element is "configuration", expected "cib"; wrap it`},
		{"foreign root", "<html/>", `the root element is "html"`},
		{"unclosed", "<cib>", `ends inside of element "cib"`},
		{"crossed", "<cib>\n <configuration></cib>", `line 2, column 17: end tag "cib", but the open element is "configuration"`},
		{"end alone", "</cib>", "without a start tag"},
		{"two roots", "<cib/><cib/>", "second root element"},
		{"text after", "<cib/>x", "text outside"},
		{"repeated attribute", `<cib epoch="1" epoch="2"/>`, `attribute "epoch" is given twice`},
		{"no value", `<cib epoch/>`, `attribute "epoch" has no value`},
		{"no quotes", `<cib epoch=1/>`, "not in quotes"},
		{"open value", `<cib epoch="1/>`, "has no end"},
		{"no space", `<cib epoch="1"x="2"/>`, "no space before an attribute"},
		{"less in value", `<cib epoch="<"/>`, `"<" in the value`},
		{"bare ampersand", `<cib epoch="a & b"/>`, "starts no reference"},
		{"unknown entity", `<cib epoch="&foo;"/>`, `unknown reference "&foo;"`},
		{"bad character", `<cib epoch="&#0;"/>`, `unknown reference "&#0;"`},
		{"surrogate", `<cib epoch="&#xD800;"/>`, "unknown reference"},
		{"control", "<cib epoch=\"\x01\"/>", "control character 0x01"},
		{"control in text", "<cib>a\x02</cib>", "control character 0x02"},
		{"bad UTF-8", "<cib epoch=\"\xff\"/>", "not UTF-8"},
		{"UTF-16", "\xff\xfe<\x00", "UTF-16"},
		{"latin1", `<?xml version="1.0" encoding="ISO-8859-1"?><cib/>`, `encoding "ISO-8859-1"`},
		{"version 2", `<?xml version="2.0"?><cib/>`, `XML version "2.0"`},
		{"doctype", `<!DOCTYPE cib [<!ENTITY a "b">]><cib/>`, "document type declarations are not accepted"},
		{"declaration inside", `<cib><!ELEMENT x></cib>`, "unknown markup"},
		{"comment dashes", `<cib><!-- a -- b --></cib>`, `"--" inside`},
		{"open comment", `<cib><!-- a`, "comment has no end"},
		{"open instruction", `<cib><?a`, "instruction has no end"},
		{"late declaration", `<cib><?xml version="1.0"?></cib>`, "not at the start"},
		{"open CDATA", `<cib><![CDATA[`, "CDATA section has no end"},
		{"bad tag", `<cib>< a></cib>`, "starts no tag"},
		{"deep", deep, "nested more than 200 deep"},
		{"many attributes", "<cib " + manyAttributes(300) + "/>", "more than 256 attributes"},
		{"long value", `<cib x="` + strings.Repeat("a", 1<<20+1) + `"/>`, "longer than"},
		{"cut", `<cib><`, "ends inside of a tag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			doc, _, err := Read([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Read() = %v, %v, want an error with %q", doc, err, c.want)
			}
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 {
				t.Errorf("error %v has no position", err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d=\"\" ", i)
	}
	return b.String()
}

func TestRead_Values(t *testing.T) {
	t.Parallel()
	doc, problems, err := Read([]byte("\ufeff<?xml version='1.0' encoding='utf-8'?>\n<!-- x --><cib epoch='7' admin_epoch=\"x\" foo=\"&lt;&#65;&#x42;&amp;&quot;&apos;\n\t\">\n" +
		"<configuration><nodes><!--# one--><!-- other --><!--# two \\\\ -\\- --><node id='1' uname='ä'/></nodes>\n" +
		"<resources>stray<wrong a='&amp;'><inner/></wrong></resources></configuration></cib>\n<!-- end -->"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Head.Extra, []cib.Attr{{Name: "foo", Value: "<AB&\"'  "}}; !reflect.DeepEqual(got, want) {
		t.Errorf("extra = %q, want %q", got, want)
	}
	if doc.Head.Epoch != 7 {
		t.Errorf("epoch = %d", doc.Head.Epoch)
	}
	if got, want := doc.Config.Nodes[0].Comments, []string{" one", ` two \ -- `}; !reflect.DeepEqual(got, want) {
		t.Errorf("comments = %q, want %q", got, want)
	}
	if got := doc.Config.Nodes[0].Pos; got != (cib.Pos{Line: 4, Column: 69}) {
		t.Errorf("position = %v", got)
	}
	want := []cib.Unknown{{Parent: "configuration/resources", XML: `<wrong a="&amp;"><inner/></wrong>`}}
	got := cib.WithoutPositions(doc).Config.Extra
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unknown = %+v, want %+v", got, want)
	}
	texts := make([]string, len(problems))
	for i := range problems {
		texts[i] = problems[i].String()
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{`admin_epoch="x" is no number`, "text between the elements", `line 5: configuration/resources: element "wrong" is not known`} {
		if !strings.Contains(all, want) {
			t.Errorf("problems %q do not say %q", all, want)
		}
	}
}

// TestRead_WarningsAreBounded feeds a document in which every element is unknown.
func TestRead_WarningsAreBounded(t *testing.T) {
	t.Parallel()
	_, problems, err := Read([]byte("<cib><status>" + strings.Repeat("<x/>", 5000) + "</status></cib>"))
	if err != nil || len(problems) != maxProblems {
		t.Errorf("Read() = %d problems, %v, want %d", len(problems), err, maxProblems)
	}
}

// TestRead_Everything reads a document that uses every element and attribute of the model, checks that
// nothing is reported, and that the whole comes back.
func TestRead_Everything(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "everything.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, problems, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("unexpected problem: %v", p)
	}
	if got := string(Write(doc, Options{})); got != string(data) {
		if *rewrite {
			if err := os.WriteFile(filepath.Join("testdata", "everything.xml"), []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("Write(Read(everything.xml)) differs from everything.xml:\n%s", got)
	}
	plain := string(Write(doc, Options{Plain: true, NoStatus: true, NoDeclaration: true}))
	for _, bad := range []string{"<?", "<!--", "node_state"} {
		if strings.Contains(plain, bad) {
			t.Errorf("plain text without status holds %q", bad)
		}
	}
	if again, _, err := Read(Write(doc.Clone(), Options{})); err != nil || !reflect.DeepEqual(cib.WithoutPositions(again), cib.WithoutPositions(doc)) {
		t.Errorf("Clone does not copy everything: %v", err)
	}
	c := doc.Config
	if s := string(WriteObject(cib.KindResource, cib.Object{Resource: c.Resources[0]})); !strings.Contains(string(data), strings.TrimSpace(strings.Split(s, "\n")[0])) {
		t.Errorf("WriteObject() = %s", s)
	}
	for _, part := range [][]byte{WriteConfiguration(&c, Options{}), WriteStatus(&doc.Status), WriteNodeState(&doc.Status.Nodes[0])} {
		if len(part) == 0 || part[len(part)-1] != '\n' {
			t.Errorf("partial text %q", part)
		}
	}
}

func TestReadPart(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "everything.xml"))
	if err != nil {
		t.Fatal(err)
	}
	whole, _, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	// Each object is read back from its own text.
	cib.Objects(&whole.Config, func(kind, id string, o cib.Object) {
		if kind == cib.KindCluster || kind == cib.KindResourceDefaults || kind == cib.KindOpDefaults {
			return // no element of their own, or one that is read in its section only
		}
		part, problems, err := ReadPart(WriteObject(kind, o))
		if err != nil || len(problems) > 0 {
			t.Errorf("%s %s: %v %v", kind, id, problems, err)
			return
		}
		if got, ok := cib.FindObject(&part.Config, kind, id); !ok || !got.Equal(&o) {
			t.Errorf("ReadPart(%s %s) = %s", kind, id, WriteConfiguration(&part.Config, Options{}))
		}
	})
	part, _, err := ReadPart(WriteConfiguration(&whole.Config, Options{}))
	if err != nil || len(cib.Diff(part, whole)) > 0 {
		t.Errorf("ReadPart(configuration): %v", err)
	}
	if part, _, err = ReadPart(data); err != nil || len(part.Status.Nodes) != 2 {
		t.Errorf("ReadPart(cib): %v", err)
	}
	if part, _, err = ReadPart([]byte("<rsc_defaults><meta_attributes id=\"a\"/></rsc_defaults>")); err != nil || len(part.Config.ResourceDefaults) != 1 {
		t.Errorf("ReadPart(rsc_defaults): %v", err)
	}
	for text, want := range map[string]string{
		"<html/>": "expected a part of a configuration", "<primitive/><primitive/>": "second root element", "<resources>": "ends inside", "": "there is no element",
	} {
		if _, _, err := ReadPart([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadPart(%q) = %v, want %q", text, err, want)
		}
	}
	// Objects in the wrong section are unknown there.
	_, problems, err := ReadPart([]byte("<resources><rsc_location id=\"a\"/></resources>"))
	if err != nil || len(problems) != 1 || problems[0].Where != "configuration/resources" {
		t.Errorf("wrong section: %v %v", problems, err)
	}
}

// FuzzRead feeds foreign bytes. Whatever is read must come back from its own text.
func FuzzRead(f *testing.F) {
	if data, err := os.ReadFile(filepath.Join("testdata", "everything.xml")); err == nil {
		f.Add(data)
	}
	f.Add([]byte(`<cib epoch="1"><configuration><resources><clone id="a"><group id="b"><primitive id="c"/></group></clone></resources></configuration></cib>`))
	f.Add([]byte(`<cib><configuration><!--quorate-link name="a" priority="x"--><nodes><node><!--quorate-node voter="&lt;"--></node></nodes></configuration><status><node_state><lrm><lrm_resources><lrm_resource><lrm_rsc_op call-id="&#45;7"/></lrm_resource></lrm_resources></lrm></node_state></status></cib>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, _, err := Read(data)
		if err != nil {
			return
		}
		text := Write(doc, Options{})
		again, _, err := Read(text)
		if err != nil {
			t.Fatalf("reading what was written: %v\n%s", err, text)
		}
		if a, b := cib.WithoutPositions(doc), cib.WithoutPositions(again); !reflect.DeepEqual(a, b) {
			t.Fatalf("Read(Write(doc)) differs: %s\n%s", difference(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "doc"), text)
		}
		cib.Upgrade(doc)
	})
}
