//go:build js && wasm

package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"syscall/js"
	"unicode"
)

// toJS makes a JavaScript value of plain Go data: structs become objects whose
// fields are named as internal/tsgen names them, slices arrays, bytes
// Uint8Arrays. A nil pointer is left out, a nil slice is an empty array.
func toJS(value any) js.Value {
	if raw, ok := value.([]byte); ok {
		array := js.Global().Get("Uint8Array").New(len(raw))
		js.CopyBytesToJS(array, raw)
		return array
	}
	return reflected(reflect.ValueOf(value))
}

func reflected(v reflect.Value) js.Value {
	switch v.Kind() {
	case reflect.String:
		return js.ValueOf(v.String())
	case reflect.Bool:
		return js.ValueOf(v.Bool())
	case reflect.Int, reflect.Int64, reflect.Int32:
		return js.ValueOf(float64(v.Int()))
	case reflect.Uint64, reflect.Uint32:
		return js.ValueOf(float64(v.Uint()))
	case reflect.Pointer:
		if v.IsNil() {
			return js.Undefined()
		}
		return reflected(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return toJS(v.Bytes())
		}
		array := js.Global().Get("Array").New(v.Len())
		for i := range v.Len() {
			array.SetIndex(i, reflected(v.Index(i)))
		}
		return array
	case reflect.Struct:
		object := js.Global().Get("Object").New()
		for i := range v.NumField() {
			if field := v.Field(i); field.Kind() != reflect.Pointer || !field.IsNil() {
				object.Set(jsName(v.Type().Field(i).Name), reflected(field))
			}
		}
		return object
	}
	panic(fmt.Sprintf("securelink-wasm: a %s does not cross to the page", v.Type()))
}

// fromJS fills a struct from an object's fields of those names. What is missing
// or of another type stays zero.
func fromJS(object js.Value, into any) {
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		field, found := v.Field(i), object.Get(jsName(v.Type().Field(i).Name))
		switch {
		case field.Kind() == reflect.String && found.Type() == js.TypeString:
			field.SetString(found.String())
		case field.Kind() == reflect.Bool && found.Type() == js.TypeBoolean:
			field.SetBool(found.Bool())
		case field.Kind() == reflect.Uint64 && found.Type() == js.TypeNumber:
			field.SetUint(uint64(max(found.Float(), 0)))
		case field.Kind() == reflect.Int && found.Type() == js.TypeNumber:
			field.SetInt(int64(found.Float()))
		case field.Type() == reflect.TypeFor[[]string]() && found.Type() == js.TypeObject:
			list := make([]string, 0, found.Length())
			for n := range found.Length() {
				list = append(list, found.Index(n).String())
			}
			field.Set(reflect.ValueOf(list))
		}
	}
}

// jsName lowers the capitals that a name begins with, as internal/tsgen does.
func jsName(name string) string {
	letters := []rune(name)
	for i, c := range letters {
		if !unicode.IsUpper(c) || (i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			break
		}
		letters[i] = unicode.ToLower(c)
	}
	return string(letters)
}

// bytesOf copies a Uint8Array.
func bytesOf(array js.Value) []byte {
	raw := make([]byte, array.Length())
	js.CopyBytesToGo(raw, array)
	return raw
}

// await waits for a promise. When ctx ends first, the promise's outcome is
// ignored.
func await(ctx context.Context, promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	var good, bad js.Func
	release := func() {
		good.Release()
		bad.Release()
	}
	good = js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{value: args[0]}
		release()
		return nil
	})
	bad = js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{err: errorOf(args[0])}
		release()
		return nil
	})
	promise.Call("then", good, bad)
	select {
	case done := <-settled:
		return done.value, done.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

// errorOf makes a Go error of what a promise was refused with.
func errorOf(reason js.Value) error {
	if reason.Type() == js.TypeObject && reason.Get("message").Type() == js.TypeString {
		return errors.New(reason.Get("name").String() + ": " + reason.Get("message").String())
	}
	return errors.New("the browser refused")
}
