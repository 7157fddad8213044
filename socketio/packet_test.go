package socketio_test

import (
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/socketio"
)

func TestMalformedPackets(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, messages := range map[string][]string{
		"no packet":              {"4"},
		"unknown type":           {"49"},
		"connect error":          {`44{"message":"mine"}`},
		"no payload":             {"42"},
		"no array":               {`42{}`},
		"empty array":            {`42[]`},
		"name null":              {`42[null]`},
		"name object":            {`42[{"a":1}]`},
		"name number":            {`42[1]`},
		"broken":                 {`42["a"`},
		"trailing":               {`42["a"]x`},
		"bad number":             {`42["a",01]`},
		"bad string":             {"42[\"a\",\"\x01\"]"},
		"bad escape":             {`42["a","\x"]`},
		"bad literal":            {`42["a",nul]`},
		"deep":                   {`42["a",` + deep + `]`},
		"deep objects":           {`42["a",` + strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300) + `]`},
		"reserved connect":       {`42["connect"]`},
		"reserved disconnect":    {`42["disconnect","x"]`},
		"reserved with escapes":  {`42["dis\u0063onnect"]`},
		"ack without id":         {`43[]`},
		"ack without array":      {`431`},
		"ack of an object":       {`431{}`},
		"huge id":                {`429999999999999999999["a"]`},
		"disconnect payload":     {`41{}`},
		"connect twice":          {"40"},
		"connect array":          {`40/two,[]`},
		"connect string":         {`40/two,"x"`},
		"connect null":           {`40/two,null`},
		"count alone":            {`45`},
		"count without dash":     {`451["a"]`},
		"no count":               {`45-["a"]`},
		"count negative":         {`45-1-["a"]`},
		"count huge":             {`45999999999-["a",{"_placeholder":true,"num":0}]`},
		"count above the bound":  {`4511-["a",{"_placeholder":true,"num":0}]`},
		"count fraction":         {`451.5-["a"]`},
		"number out of range":    {`451-["echo",{"_placeholder":true,"num":1}]`, "bytes:x"},
		"number negative":        {`451-["echo",{"_placeholder":true,"num":-1}]`, "bytes:x"},
		"number no number":       {`451-["echo",{"_placeholder":true,"num":"splice"}]`, "bytes:x"},
		"number missing":         {`451-["echo",{"_placeholder":true}]`, "bytes:x"},
		"number fraction":        {`451-["echo",{"_placeholder":true,"num":0.5}]`, "bytes:x"},
		"number with escapes":    {`451-["echo",{"_pl\u0061ceholder":true,"num":9}]`, "bytes:x"},
		"text for bytes":         {`451-["echo",{"_placeholder":true,"num":0}]`, `42["echo"]`},
		"text for bytes, fast":   {`451-["frame",{"_placeholder":true,"num":0}]`, `42["echo"]`},
		"bytes without a header": {"bytes:x"},
		"bytes too many":         {`451-["log",{"_placeholder":true,"num":0}]`, "bytes:x", "bytes:y"},
		"event elsewhere":        {`42/two,["echo"]`},
		"event nowhere":          {`42/unknown,["echo"]`},
		"ack elsewhere":          {`43/two,1[]`},
		"long namespace":         {"40/" + strings.Repeat("n", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			st := start(t, socketio.Options{})
			c, _ := st.enter(t)
			send(t, c, messages...)
			wantEnd(t, c)
			st.wantReason(t, "/ parse error")
		})
	}
}

func TestHarmlessPackets(t *testing.T) {
	st := start(t, socketio.Options{})
	c, _ := st.enter(t)
	send(t, c, `4399[]`, `461-98[{"_placeholder":true,"num":0}]`, "bytes:x", // acks that nobody waits for
		`42["echo",null]`)
	want(t, c, `42["back",null]`)
	// 200 levels are no attack.
	level := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	send(t, c, `42["echo",`+level+`]`)
	want(t, c, `42["back",`+level+`]`)
}
