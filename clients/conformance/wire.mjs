// As much of protobuf's wire format as the control API's messages need: varints, and bytes with their length.

function varint(number) {
  const bytes = [];
  let rest = BigInt(number);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** A number, a truth or an enumeration's value; nothing when it is the default. */
export const number = (field, value) => (value ? Buffer.concat([varint(field << 3), varint(Number(value))]) : Buffer.alloc(0));

/** The same with the default written too, as `optional` fields and members of a oneof want it. */
export const present = (field, value) => Buffer.concat([varint(field << 3), varint(Number(value))]);

/** Text, bytes or a message; nothing when there is none. */
export function bytes(field, value) {
  if (value === undefined || value === null || value.length === 0) return Buffer.alloc(0);
  const content = Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
}

/** A message's fields in order, each `[field, value]`: a Number, or a Buffer. */
export function* fields(message) {
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('a protobuf message is cut short');
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < message.length) {
    const tag = next();
    if ((tag & 7) === 0) yield [tag >> 3, next()];
    else if ((tag & 7) === 2) {
      const length = next();
      yield [tag >> 3, message.subarray(at, (at += length))];
    } else throw new Error(`wire type ${tag & 7} is none that the control API uses`);
  }
}

/** The first value of a field. */
export function first(message, field) {
  for (const [number, value] of fields(message)) if (number === field) return value;
  return undefined;
}
