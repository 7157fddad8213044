package wire

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// The oracle is a general CBOR library with the options that come nearest to
// the profile. Whatever the codec writes and takes, the oracle must write and
// take alike.
var oracleEnc, oracleDec = func() (cbor.EncMode, cbor.DecMode) {
	o := cbor.CoreDetEncOptions()
	o.IndefLength = cbor.IndefLengthForbidden
	o.TagsMd = cbor.TagsForbidden
	o.NilContainers = cbor.NilContainerAsEmpty
	enc, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   MaxDepth,
		MaxMapPairs:       MaxPairs,
		MaxArrayElements:  MaxItems,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return enc, dec
}()

// MarshalCBOR tells the oracle that an entry is written as it is.
func (r RawEntry) MarshalCBOR() ([]byte, error) { return r, nil }

// UnmarshalCBOR tells the oracle that an entry is kept as it is.
func (r *RawEntry) UnmarshalCBOR(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// bodies has one empty value of everything that travels.
func bodies() (all []any) {
	for _, r := range requests() {
		all = append(all, r)
	}
	for _, e := range events() {
		all = append(all, e)
	}
	return append(all, responses()...)
}

// chance fills a value by the dice: small and large numbers, empty and full
// strings and lists, what is absent and what is there.
func chance(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				chance(r, v.Field(i))
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			chance(r, v.Elem())
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[RawEntry]() {
			var e Entry
			chance(r, reflect.ValueOf(&e).Elem())
			raw, err := Encode(&e)
			if err != nil {
				panic(err)
			}
			v.SetBytes(raw)
			return
		}
		n := []int{0, 1, 3, 23, 24, 300}[r.IntN(6)]
		if v.Type().Elem().Kind() != reflect.Uint8 {
			n = r.IntN(4)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			chance(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			chance(r, v.Index(i))
		}
	case reflect.String:
		v.SetString([]string{"", "a", "déjà vu", "a name that has more than twenty-three bytes"}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(r.Uint64N(MaxInteger+1) >> r.IntN(54))
	default:
		panic("no chance for " + v.Type().String())
	}
}

func TestCodecWritesAndReadsWhatTheOracleDoes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, body := range bodies() {
		for range 200 {
			chance(r, reflect.ValueOf(body).Elem())
			want, err := oracleEnc.Marshal(body)
			if err != nil {
				t.Fatalf("%T: oracle: %v", body, err)
			}
			got, err := Encode(body)
			if _, old := body.(*SetPassword); old && !bytes.Equal(got, want) {
				// The oracle writes an empty Secret although it may be left out.
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%+v:\n%x, %v\n%x by the oracle", body, got, err, want)
			}
			agree(t, got, body)
		}
	}
}

// agree holds the codec's reading of data as one type against the oracle's.
func agree(t *testing.T, data []byte, body any) {
	t.Helper()
	if _, err := Scan(data); err != nil {
		return // what the profile refuses is refused before anything is decoded
	}
	ours, theirs := reflect.New(reflect.TypeOf(body).Elem()), reflect.New(reflect.TypeOf(body).Elem())
	err := Decode(data, ours.Interface())
	oracle := oracleDec.Unmarshal(data, theirs.Interface())
	switch {
	case err == nil && oracle != nil:
		t.Fatalf("%T: taken, but the oracle says %v\n%x", body, oracle, data)
	case err == nil && !reflect.DeepEqual(ours.Interface(), theirs.Interface()):
		t.Fatalf("%T: read as %+v, by the oracle as %+v\n%x", body, ours, theirs, data)
	case err != nil && oracle == nil:
		// The oracle is laxer: an array of numbers is bytes to it, and a fixed
		// length need not be kept. It must not know a value whose one encoding
		// this is.
		if again, e := Encode(theirs.Interface()); e == nil && bytes.Equal(again, data) {
			t.Fatalf("%T: refused with %v, but it is how %+v is written", body, err, theirs)
		}
	}
}

func FuzzCodecAgainstOracle(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, body := range bodies() {
		for range 3 {
			chance(r, reflect.ValueOf(body).Elem())
			raw, err := Encode(body)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		all := bodies()
		agree(t, data, all[int(which)%len(all)])
	})
}
