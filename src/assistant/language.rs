//! Detection of languages other than English, by script and common words.

/// Returns true if a message is most probably not in English.
pub(super) fn is_foreign(text: &str) -> bool {
    let start: String = text.chars().take(CHARS_READ).collect();
    let letters = start.chars().filter(|c| c.is_alphabetic()).count();
    let latin = start.chars().filter(|c| c.is_alphabetic() && (*c as u32) < LATIN_END).count();
    if letters > 0 && latin * 2 < letters {
        return true;
    }
    let lower = start.to_lowercase();
    let words = || lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let foreign = words().filter(|word| FOREIGN.contains(word)).count();
    let english = words().filter(|word| ENGLISH.contains(word)).count();
    foreign > english && foreign * 4 >= words().count()
}

/// The code point after the last Latin letter with a diacritic of European languages.
const LATIN_END: u32 = 0x250;

/// Characters of a message that are examined.
const CHARS_READ: usize = 400;

/// Common words of German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish and Turkish that
/// are not English words.
const FOREIGN: &[&str] = &[
    "wie", "viel", "ist", "sind", "und", "der", "das", "ich", "nicht", "spät", "uhr", "wieviel", "ein",
    "eine", "bitte", "quelle", "quel", "est", "il", "heure", "combien", "les", "des", "une", "je", "vous",
    "fait", "le", "et", "qué", "que", "hora", "cuánto", "cuanto", "es", "el", "los", "las", "una", "más",
    "por", "cuál", "hace", "che", "ore", "sono", "quanto", "fa", "più", "gli", "è", "ciao", "stai", "são",
    "quanto", "uma", "horas", "não", "você", "é", "mais", "hoe", "laat", "het", "hoeveel", "een", "wat",
    "ile", "jest", "która", "godzina", "jak", "vad", "är", "klockan", "hur", "mycket", "kaç", "saat", "kac",
    "nedir",
];

const ENGLISH: &[&str] = &[
    "the", "is", "what", "and", "of", "to", "a", "how", "it", "my", "you", "me", "i", "that", "this", "are",
    "was", "for",
];

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn languages_are_told_apart() {
        for text in [
            "wie spät ist es in Tokio?",
            "was ist zwei plus zwei und drei",
            "quelle heure est-il ?",
            "combien font 2 + 2 ?",
            "¿qué hora es en Madrid?",
            "cuánto es 3 por 4",
            "che ore sono?",
            "que horas são?",
            "hoe laat is het?",
            "東京は何時ですか",
            "сколько времени?",
            "która jest godzina",
        ] {
            assert!(is_foreign(text), "{text}");
        }
        for text in [
            "",
            "2+2",
            "hello",
            "What is the time in São Paulo?",
            "I live in Le Mans",
            "come here",
            "why?",
            "la la land",
        ] {
            assert!(!is_foreign(text), "{text}");
        }
    }
}
