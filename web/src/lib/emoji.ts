/** The emoji that can be found by name, in the order in which they are offered. Any other can be typed. */
const list =
  '👍 thumbs up yes ok,👎 thumbs down no,❤️ heart love,😂 joy laugh tears,🎉 tada party,🙏 thanks please pray,😮 wow surprised,😢 sad cry,🔥 fire,👀 eyes look,✅ check done,❌ cross wrong,' +
  '😀 grin,😄 smile happy,😁 beam,😆 laughing,😅 sweat,🙂 slight smile,🙃 upside down,😉 wink,😊 blush,😇 innocent,😍 heart eyes,😘 kiss,😋 yum,😜 tongue wink,🤪 zany,🤔 thinking hmm,🤨 eyebrow,' +
  '😐 neutral,😏 smirk,🙄 eye roll,😬 grimace,😌 relieved,😴 sleep tired,🤒 ill thermometer,🤕 hurt,🤢 nausea,🥵 hot,🥶 cold,🤯 mind blown,🥳 partying,😎 cool sunglasses,🤓 nerd,😕 confused,😟 worried,' +
  '🙁 frown,😳 flushed,🥺 pleading,😨 afraid,😭 sob,😱 scream,😤 huff,😠 angry,😡 rage,🤬 swearing,💀 skull dead,👻 ghost,🤖 robot,🙈 see no evil monkey,👋 wave hello bye,🤚 hand stop,👌 perfect,🤞 fingers crossed luck,' +
  '👏 clap,🙌 raised hands hooray,🤝 handshake deal,💪 strong muscle,🤷 shrug,🤦 facepalm,🫡 salute,💔 broken heart,💙 blue heart,💚 green heart,💛 yellow heart,💯 hundred,💡 idea bulb,💤 zzz,⭐ star,✨ sparkles,' +
  '⚡ lightning fast,☀️ sun,🌧️ rain,❄️ snow,🌈 rainbow,🌍 earth world,🌙 moon,🌱 seedling plant,🌹 rose flower,🍞 bread,🍎 apple,🍕 pizza,🍔 burger,🍰 cake,🍫 chocolate,☕ coffee,🍵 tea,🍺 beer,🍷 wine,🥂 cheers,' +
  '🐱 cat,🐶 dog,🐭 mouse,🦊 fox,🐻 bear,🐼 panda,🐸 frog,🐢 turtle,🐌 snail slow,🐝 bee,🐛 bug,🦄 unicorn,🎂 birthday,🎁 gift,🎈 balloon,🏆 trophy win,⚽ football,🎵 music note,🎮 game,📷 photo camera,📞 phone call,' +
  '💻 computer laptop,🖨️ printer,📄 document page,📌 pin,📎 clip,✏️ pencil,📅 calendar date,⏰ alarm clock time,⏳ hourglass wait,🔒 lock,🔑 key,🔗 link,🔍 search,🛠️ tools,🚀 rocket ship launch,🚗 car,🚲 bike,🚆 train,✈️ plane flight,' +
  '🏠 home house,🏢 office,🏖️ beach holiday,⛰️ mountain,🗺️ map,❓ question,❗ exclamation,⚠️ warning,➕ plus,➖ minus,➡️ arrow right,⬅️ arrow left,🔁 repeat,🆗 ok button,🏁 finish';

export interface Emoji {
  readonly text: string;
  /** Words that it is found by, the first of them its name. */
  readonly words: readonly string[];
}

export const emojis: readonly Emoji[] = list.split(',').map((line) => {
  const [text = '', ...words] = line.split(' ');
  return { text, words };
});

/** Emoji of which a word begins with the query, at most so many. */
export function findEmoji(query: string, most: number): Emoji[] {
  const low = query.toLowerCase();
  return emojis.filter((emoji) => emoji.words.some((word) => word.startsWith(low))).slice(0, most);
}
