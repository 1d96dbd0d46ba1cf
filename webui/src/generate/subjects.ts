/** Whether a prompt names something that a small model knows. */

export interface Subject {
  en: string;
  zh: string;
  names: readonly string[];
}

/** True when none of the subjects' names is in the prompt; an empty prompt names nothing wrong. */
export function isUnknown(prompt: string, subjects: readonly Subject[]): boolean {
  const text = prompt.trim().toLowerCase();
  if (text === "" || subjects.length === 0) return false;
  const phrase = ` ${words(text).join(" ")} `;
  return !subjects.some((subject) =>
    [subject.en, subject.zh, ...subject.names].some((name) =>
      isAscii(name)
        ? phrase.includes(` ${words(name.toLowerCase()).join(" ")} `)
        : text.includes(name),
    ),
  );
}

/** Subjects with a name that holds `word`, in either language. */
export function search(word: string, subjects: readonly Subject[]): readonly Subject[] {
  const low = word.trim().toLowerCase();
  if (low === "") return subjects;
  return subjects.filter((subject) =>
    [subject.en, subject.zh, ...subject.names].some((name) => name.toLowerCase().includes(low)),
  );
}

function words(text: string): string[] {
  return (text.match(/[a-z0-9'-]+/g) ?? []).map(singular);
}

function isAscii(name: string): boolean {
  return !/[^ -~]/.test(name);
}

/** Well enough to compare two words; the server's own hint does the same. */
function singular(word: string): string {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && /(s|x|ch|sh|o)es$/.test(word)) return word.slice(0, -2);
  if (word.length > 3 && word.endsWith("s") && !word.endsWith("ss")) return word.slice(0, -1);
  return word;
}
