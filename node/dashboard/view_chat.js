export const title = "Chat";
export const render = () => [];
