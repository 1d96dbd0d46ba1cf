/** Pictures in rows of one width, each row as high as its pictures' ratios make it. */

export interface Sized {
  width: number;
  height: number;
}

export interface Cell<T> {
  item: T;
  index: number;
  left: number;
  width: number;
}

export interface Row<T> {
  top: number;
  height: number;
  cells: readonly Cell<T>[];
}

/** Lay `items` out in rows about `target` px high; the last row is not stretched. */
export function rows<T extends Sized>(
  items: readonly T[],
  width: number,
  target: number,
  gap: number,
): Row<T>[] {
  const laid: Row<T>[] = [];
  let start = 0;
  let ratios = 0;
  let top = 0;
  const close = (end: number, height: number) => {
    const cells: Cell<T>[] = [];
    let left = 0;
    for (let index = start; index < end; index += 1) {
      const item = items[index] as T;
      const cell = { item, index, left, width: (height * item.width) / item.height };
      cells.push(cell);
      left += cell.width + gap;
    }
    laid.push({ top, height, cells });
    top += height + gap;
    start = end;
    ratios = 0;
  };
  items.forEach((item, index) => {
    ratios += item.width / item.height;
    const height = (width - gap * (index - start)) / ratios;
    if (height <= target) close(index + 1, height);
  });
  if (start < items.length) close(items.length, target);
  return laid;
}

/** The rows that a window from `from` to `to` px shows; found by halving. */
export function visible<T>(all: readonly Row<T>[], from: number, to: number): readonly Row<T>[] {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = all[middle] as Row<T>;
    if (row.top + row.height < from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < all.length && (all[end] as Row<T>).top <= to) end += 1;
  return all.slice(low, end);
}

/** The picture above or below one: the nearest in the row before or after. -1: there is none. */
export function neighbour<T>(all: readonly Row<T>[], index: number, rowsDown: number): number {
  const at = all.findIndex((row) => row.cells.some((cell) => cell.index === index));
  const here = all[at]?.cells.find((cell) => cell.index === index);
  const row = all[at + rowsDown];
  if (here === undefined || row === undefined) return -1;
  const middle = here.left + here.width / 2;
  const away = (cell: Cell<T>) => Math.abs(cell.left + cell.width / 2 - middle);
  return row.cells.reduce((best, cell) => (away(cell) < away(best) ? cell : best)).index;
}
