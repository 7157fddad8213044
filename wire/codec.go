package wire

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// The codec turns Go values into CBOR of the profile and back, led by a plan
// that is made once for each type. A struct is a map of its fields' numbers
// (`cbor:"3,keyasint"`, with omitempty left out when it is empty), or an array
// if it says so (a field _ with `cbor:",toarray"`). It is ours because the
// profile is small: a general codec added 150 KiB to what a browser loads. The
// tests hold it against one.

// shape is how a Go type looks on the wire.
type shape uint8

const (
	shapeUint  shape = iota // any integer that is not negative
	shapeBool               //
	shapeText               //
	shapeBytes              // a slice of bytes
	shapeFixed              // an array of bytes: exactly that many
	shapeRaw                // a RawEntry: an item kept as it is
	shapeList               // a slice of anything else
	shapeMap                // a struct by numbers
	shapeArray              // a struct by order
	shapePtr                // what it points to
)

// plan is how one type is written and read.
type plan struct {
	shape  shape
	elem   *plan       // of lists and pointers
	fields []fieldPlan // of structs; in a map their numbers rise
}

type fieldPlan struct {
	*plan
	index     int
	number    uint64
	omitEmpty bool
}

var plans sync.Map // reflect.Type -> *plan

func planOf(t reflect.Type) *plan {
	if known, ok := plans.Load(t); ok {
		return known.(*plan)
	}
	made, _ := plans.LoadOrStore(t, makePlan(t))
	return made.(*plan)
}

// makePlan panics on a type that the profile cannot say: a fault of the program.
func makePlan(t reflect.Type) *plan {
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &plan{shape: shapeUint}
	case reflect.Bool:
		return &plan{shape: shapeBool}
	case reflect.String:
		return &plan{shape: shapeText}
	case reflect.Pointer:
		return &plan{shape: shapePtr, elem: planOf(t.Elem())}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &plan{shape: shapeFixed}
		}
	case reflect.Slice:
		switch {
		case t == reflect.TypeFor[RawEntry]():
			return &plan{shape: shapeRaw}
		case t.Elem().Kind() == reflect.Uint8:
			return &plan{shape: shapeBytes}
		}
		return &plan{shape: shapeList, elem: planOf(t.Elem())}
	case reflect.Struct:
		return planStruct(t)
	}
	panic("wire: no form for " + t.String())
}

func planStruct(t reflect.Type) *plan {
	p := &plan{shape: shapeMap}
	for i := range t.NumField() {
		f := t.Field(i)
		number, options, _ := strings.Cut(f.Tag.Get("cbor"), ",")
		if f.Name == "_" {
			if options == "toarray" {
				p.shape = shapeArray
			}
			continue
		}
		field := fieldPlan{plan: planOf(f.Type), index: i, omitEmpty: strings.HasSuffix(options, ",omitempty")}
		if p.shape == shapeMap {
			var err error
			if field.number, err = strconv.ParseUint(number, 10, 32); err != nil {
				panic("wire: " + t.String() + "." + f.Name + " has no number")
			}
		}
		if n := len(p.fields); p.shape == shapeMap && n > 0 && p.fields[n-1].number >= field.number {
			panic("wire: " + t.String() + "." + f.Name + " is not in the order of the numbers")
		}
		p.fields = append(p.fields, field)
	}
	return p
}

// appendValue appends one value's encoding.
func (p *plan) appendValue(dst []byte, v reflect.Value) ([]byte, error) {
	switch p.shape {
	case shapeUint:
		if v.CanInt() {
			if v.Int() < 0 {
				return nil, fmt.Errorf("wire: %d has no form", v.Int())
			}
			return appendHead(dst, majorUint, uint64(v.Int())), nil
		}
		return appendHead(dst, majorUint, v.Uint()), nil
	case shapeBool:
		if v.Bool() {
			return append(dst, simpleTrue), nil
		}
		return append(dst, simpleFalse), nil
	case shapeText:
		return append(appendHead(dst, majorText, uint64(v.Len())), v.String()...), nil
	case shapeBytes, shapeFixed:
		return append(appendHead(dst, majorBytes, uint64(v.Len())), v.Bytes()...), nil
	case shapeRaw:
		if v.Len() == 0 {
			return nil, fmt.Errorf("wire: an entry that is not there")
		}
		return append(dst, v.Bytes()...), nil
	case shapePtr:
		if v.IsNil() {
			return nil, fmt.Errorf("wire: %s is nil", v.Type())
		}
		return p.elem.appendValue(dst, v.Elem())
	case shapeList:
		dst = appendHead(dst, majorArray, uint64(v.Len()))
		var err error
		for i := 0; i < v.Len() && err == nil; i++ {
			dst, err = p.elem.appendValue(dst, v.Index(i))
		}
		return dst, err
	default:
		return p.appendStruct(dst, v)
	}
}

func (p *plan) appendStruct(dst []byte, v reflect.Value) ([]byte, error) {
	absent := 0
	for _, f := range p.fields {
		if f.omitEmpty && f.isEmpty(v.Field(f.index)) {
			absent++
		}
	}
	major := byte(majorArray)
	if p.shape == shapeMap {
		major = majorMap
	}
	dst = appendHead(dst, major, uint64(len(p.fields)-absent))
	var err error
	for _, f := range p.fields {
		field := v.Field(f.index)
		if f.omitEmpty && f.isEmpty(field) {
			continue
		}
		if p.shape == shapeMap {
			dst = appendHead(dst, majorUint, f.number)
		}
		if dst, err = f.appendValue(dst, field); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// isEmpty is what omitempty leaves out: what is absent reads as the same.
// An array of bytes never is.
func (p *plan) isEmpty(v reflect.Value) bool {
	switch p.shape {
	case shapeBytes, shapeRaw, shapeText, shapeList:
		return v.Len() == 0
	case shapeUint, shapeBool, shapePtr:
		return v.IsZero()
	default:
		return false
	}
}

// decoder reads what [Scan] has passed. It checks every bound again all the
// same: it must not depend on who called it.
type decoder struct {
	data []byte
	at   int
}

// head reads the head of an item of one major type.
func (d *decoder) head(want byte) (uint64, error) {
	major, value, size, err := readHead(d.data[d.at:])
	if err != nil {
		return 0, err
	}
	if major != want {
		return 0, fmt.Errorf("%w: major type %d where %d belongs", ErrMalformed, major, want)
	}
	d.at += size
	return value, nil
}

// count reads the head of an array or a map: no more items than bytes.
func (d *decoder) count(want byte) (int, error) {
	n, err := d.head(want)
	if err == nil && n > uint64(len(d.data)-d.at) {
		err = fmt.Errorf("%w: array cut short", ErrMalformed)
	}
	return int(n), err
}

// str reads a byte or text string. It points into the data.
func (d *decoder) str(want byte) ([]byte, error) {
	n, err := d.head(want)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(d.data)-d.at) {
		return nil, fmt.Errorf("%w: string cut short", ErrMalformed)
	}
	d.at += int(n)
	return d.data[d.at-int(n) : d.at], nil
}

func (p *plan) read(d *decoder, v reflect.Value) error {
	switch p.shape {
	case shapeUint:
		return readUint(d, v)
	case shapeBool:
		n, err := d.head(majorSimple)
		v.SetBool(n == simpleTrue&31)
		return err
	case shapeText:
		s, err := d.str(majorText)
		v.SetString(string(s))
		return err
	case shapeBytes:
		s, err := d.str(majorBytes)
		v.SetBytes(append(make([]byte, 0, len(s)), s...))
		return err
	case shapeFixed:
		s, err := d.str(majorBytes)
		if err == nil && len(s) != v.Len() {
			err = fmt.Errorf("%w: %d bytes where %d belong", ErrMalformed, len(s), v.Len())
		}
		copy(v.Bytes(), s)
		return err
	case shapeRaw:
		n, err := Scan(d.data[d.at:])
		v.SetBytes(append([]byte(nil), d.data[d.at:d.at+n]...))
		d.at += n
		return err
	case shapePtr:
		v.Set(reflect.New(v.Type().Elem()))
		return p.elem.read(d, v.Elem())
	case shapeList:
		n, err := d.count(majorArray)
		if err != nil {
			return err
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := 0; i < n && err == nil; i++ {
			err = p.elem.read(d, v.Index(i))
		}
		return err
	case shapeArray:
		return p.readArray(d, v)
	default:
		return p.readMap(d, v)
	}
}

func readUint(d *decoder, v reflect.Value) error {
	n, err := d.head(majorUint)
	switch {
	case err != nil:
		return err
	case v.CanInt() && !v.OverflowInt(int64(n)) && n <= MaxInteger:
		v.SetInt(int64(n))
	case v.CanUint() && !v.OverflowUint(n):
		v.SetUint(n)
	default:
		return fmt.Errorf("%w: %d is too large for %s", ErrMalformed, n, v.Type())
	}
	return nil
}

func (p *plan) readArray(d *decoder, v reflect.Value) error {
	n, err := d.count(majorArray)
	if err == nil && n != len(p.fields) {
		err = fmt.Errorf("%w: %d elements where %d belong", ErrMalformed, n, len(p.fields))
	}
	for i := 0; i < len(p.fields) && err == nil; i++ {
		err = p.fields[i].read(d, v.Field(p.fields[i].index))
	}
	return err
}

// readMap takes the keys in rising order, as the profile has them, so that a
// key that comes twice or is unknown is met where the next one is looked for.
func (p *plan) readMap(d *decoder, v reflect.Value) error {
	n, err := d.count(majorMap)
	if err != nil {
		return err
	}
	next := 0
	for range n {
		number, err := d.head(majorUint)
		if err != nil {
			return err
		}
		for next < len(p.fields) && p.fields[next].number < number {
			next++
		}
		if next == len(p.fields) || p.fields[next].number != number {
			return fmt.Errorf("%w: key %d is unknown or out of order", ErrMalformed, number)
		}
		if err := p.fields[next].read(d, v.Field(p.fields[next].index)); err != nil {
			return err
		}
		next++
	}
	return nil
}
